from benchmarks.stress import stress_store

PROCESSES, FRAGMENTS, KILLED = 8, 50, 2


def test_readers_see_whole_fragments_while_writers_write_and_die(tmp_path):
    report = stress_store(tmp_path, processes=PROCESSES, fragments=FRAGMENTS, kill=KILLED)
    assert report.faults == []
    assert report.finished >= PROCESSES * FRAGMENTS
    assert report.reads > 0
