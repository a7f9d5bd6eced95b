"""Sizes of files as people read them."""


def size_text(size_bytes: int) -> str:
    """Say a size as disks and download pages do: 48 kB, 1.1 MB, 537 MB, 12.9 GB."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= 0.9995 * scale:  # else it would be 1000 of the unit below
            digits = 0 if unit == "MB" and size_bytes >= 9.95 * scale else 1
            return f"{size_bytes / scale:.{digits}f} {unit}"
    return f"{max(1, round(size_bytes / 1000))} kB" if size_bytes else "nothing"
