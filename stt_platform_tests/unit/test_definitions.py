"""What users see in the web UI: a snapshot, so that a change of it is meant."""

import dagster as dg
from syrupy.assertion import SnapshotAssertion

from stt_platform.definitions import defs
from stt_platform.orchestration.scopes import SERMON
from stt_platform.orchestration.stage import edges_of, stages, stages_of


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_what_users_see(snapshot: SnapshotAssertion) -> None:
    specs = sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string())
    seen = {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": list(spec.owners),
            "after": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "partitioned": spec.partitions_def is not None,
            "description": (spec.description or "").strip().splitlines()[0],
        }
        for spec in specs
    }
    assert seen == snapshot
    assert sorted(sensor.name for sensor in defs.sensors or []) == snapshot
    assert sorted(job.name for job in defs.jobs or []) == snapshot


def test_every_stage_comes_after_those_that_it_needs() -> None:
    in_order = list(stages())
    for stage in in_order:
        assert all(in_order.index(before) < in_order.index(stage) for before in edges_of(stage)), stage
    of_sermon = stages_of(SERMON)
    # Whoever asks whether a sermon is through looks at these two.
    assert (of_sermon[0], of_sermon[-1]) == ("recording", "consensus")


def test_sensors_are_on_by_default_and_say_what_they_do() -> None:
    for sensor in defs.sensors or []:
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert sensor.description
