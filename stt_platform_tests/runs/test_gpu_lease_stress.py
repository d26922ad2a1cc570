from benchmarks.stress import stress_lease

PROCESSES, CLAIMS, KILLED = 4, 50, 1


def test_claims_never_overlap_and_nobody_waits_for_the_dead(tmp_path):
    report = stress_lease(tmp_path, processes=PROCESSES, claims=CLAIMS, kill=KILLED)
    assert report.faults == []
    assert report.claims == PROCESSES * CLAIMS + KILLED
    assert report.waited > 0
