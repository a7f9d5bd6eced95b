"""Examples of a feature to senses and a wording: no Celery, no SQL."""
