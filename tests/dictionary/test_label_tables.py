import subprocess
import sys


def test_a_process_that_knows_labels_alone_can_follow_their_foreign_keys() -> None:
    code = (
        "from scopebook.db.label_tables import LabelEmbedding\n"
        "[key.column for key in LabelEmbedding.__table__.foreign_keys]"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
