"""Work: jobs that are there exactly when they should be, and that one process does at a time."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.store.contract.homes import Home
from tests.store.contract.kit import Clock, P, pass_seconds, rows_left, turn

from antiphon.store import responses, work
from antiphon.store.errors import AlreadyExists
from antiphon.store.statements import Steps
from antiphon.store.store import Store
from antiphon.store.work import ClaimedJob, Job

LEASE = 5.0
JOB = Job(kind="index", payload=b'{"file":1}', project=P)


async def claim(store: Store, owner: str = "me", *kinds: str) -> ClaimedJob:
    (job,) = await store.work.claim(kinds or ("index",), owner, LEASE, 1)
    return job


async def none_is_due(store: Store) -> bool:
    return await store.work.claim(["index"], "anybody", LEASE, 10) == ()


async def test_a_job_comes_as_it_was_enqueued(store: Store) -> None:
    await store.work.enqueue([JOB, replace(JOB, kind="expire", project=None)])

    jobs = await store.work.claim(["index", "expire", "other"], "me", LEASE, 10)

    assert [(job.kind, job.project, job.payload, job.attempts) for job in jobs] == [
        ("index", P, JOB.payload, 1),
        ("expire", None, JOB.payload, 1),
    ]


async def test_a_job_is_there_exactly_when_what_it_belongs_to_is(store: Store) -> None:
    def save(name: str) -> Steps[None]:
        yield from work.enqueue([JOB])
        yield from responses.save(P, turn(name))

    await store.responses.save(P, turn("r"))
    with pytest.raises(AlreadyExists):
        await store.write(save, "r")
    assert await none_is_due(store)

    await store.write(save, "s")

    assert (await claim(store)).payload == JOB.payload


async def test_what_is_due_longest_comes_first_and_to_one(store: Store, other: Store, clock: Clock) -> None:
    for n, late in enumerate((3, 1, 2, 0)):
        await store.work.enqueue([replace(JOB, payload=b"%d" % n, run_at=clock.now - late)])
    mine = await store.work.claim(["index"], "me", LEASE, 3)
    yours = await other.work.claim(["index"], "you", LEASE, 3)
    assert [job.payload for job in (*mine, *yours)] == [b"0", b"2", b"1", b"3"]
    assert await none_is_due(store)


async def test_jobs_that_are_due_and_that_nobody_does_are_counted(store: Store, clock: Clock) -> None:
    assert await store.work.waiting() == 0
    await store.work.enqueue([JOB, JOB, replace(JOB, run_at=clock.now + 60)])
    assert await store.work.waiting() == 2

    await claim(store)

    assert await store.work.waiting() == 1


async def test_projects_take_turns_however_many_jobs_one_has(store: Store, clock: Clock) -> None:
    for project, count in (("many", 6), ("few", 2), ("one", 1)):
        jobs = [Job(kind="index", payload=b"%d" % n, project=project) for n in range(count)]
        await store.work.enqueue(jobs)
    await store.work.enqueue([Job(kind="index", payload=b"later", project="later", run_at=clock.now + 1)])

    claimed = [await claim(store) for _ in range(9)]

    turns = [f"{job.project} {job.payload.decode()}" for job in claimed]
    assert turns == [
        "few 0", "many 0", "one 0", "few 1", "many 1", "many 2", "many 3", "many 4", "many 5",
    ]  # fmt: skip
    assert await none_is_due(store)


async def test_several_are_claimed_in_turn_as_well(store: Store) -> None:
    for project in ("a", "b"):
        await store.work.enqueue([Job(kind="index", payload=b"", project=project) for _ in range(3)])
    first, second = [await store.work.claim(["index"], "me", LEASE, 3) for _ in range(2)]
    assert [job.project for job in (*first, *second)] == ["a", "b", "a", "b", "a", "b"]


async def test_an_owner_has_no_more_jobs_of_a_project_than_it_wants(store: Store) -> None:
    for project, count in (("large", 5), ("small", 1), (None, 3)):
        await store.work.enqueue([Job(kind="index", payload=b"", project=project) for _ in range(count)])

    mine = await store.work.claim(["index"], "me", LEASE, 10, of_project=2)
    more = await store.work.claim(["index"], "me", LEASE, 10, of_project=2)
    yours = await store.work.claim(["index"], "you", LEASE, 10, of_project=2)
    await store.work.finish(next(job for job in mine if job.project == "large"))
    next_one = await store.work.claim(["index"], "me", LEASE, 10, of_project=2)

    assert sorted(str(job.project) for job in mine) == ["None", "None", "large", "large", "small"]
    assert more == ()
    assert sorted(str(job.project) for job in yours) == ["None", "large", "large"]
    assert [job.project for job in next_one] == ["large"]


async def test_of_many_who_claim_at_once_each_job_goes_to_one(store: Store, other: Store) -> None:
    await store.work.enqueue([replace(JOB, payload=b"%d" % n) for n in range(40)])
    claimed = await asyncio.gather(
        *(each.work.claim(["index"], f"owner {n}", LEASE, 3) for n in range(10) for each in (store, other))
    )
    done = [job.payload for jobs in claimed for job in jobs]
    assert sorted(done) == sorted({b"%d" % n for n in range(40)})


async def test_a_job_waits_until_its_time(store: Store, clock: Clock) -> None:
    assert await store.work.due(["index"]) is None
    await store.work.enqueue([replace(JOB, run_at=clock.now + 60)])
    assert await store.work.due(["index"]) == clock.now + 60
    assert await store.work.due(["other"]) is None
    clock.now += 59
    assert await none_is_due(store)
    clock.now += 1
    assert (await claim(store)).attempts == 1


async def test_a_lease_that_is_not_renewed_runs_out_and_its_holder_can_do_nothing_more(
    home: Home, store: Store, other: Store, clock: Clock
) -> None:
    await store.work.enqueue([JOB])
    mine = await claim(store)
    await pass_seconds(home, clock, LEASE - 1)
    assert await store.work.renew(mine, LEASE)
    await pass_seconds(home, clock, LEASE - 1)
    assert await none_is_due(other)
    assert (await store.work.due(["index"]) or 0) > clock.now
    await pass_seconds(home, clock, 2)

    assert await store.work.owned("me") == {mine.key}
    yours = await claim(other, "you")

    assert (yours.key, yours.attempts) == (mine.key, 2)
    assert (await store.work.owned("me"), await store.work.owned("you")) == (set(), {mine.key})
    assert not await store.work.renew(mine, LEASE)
    assert not await store.work.finish(mine, [JOB])
    assert not await store.work.retry(mine, clock.now, "late")
    assert not await store.work.fail(mine, "late")
    assert await other.work.finish(yours)
    assert await rows_left(store) == {}


async def test_who_does_a_job_that_was_withdrawn_does_nothing_to_the_next(store: Store, clock: Clock) -> None:
    await store.work.enqueue([replace(JOB, name="1")])
    gone = await claim(store)
    await store.write(work.withdraw, "index", ["1"])
    await store.work.enqueue([replace(JOB, name="2")])
    mine = await claim(store)

    assert mine.key != gone.key
    assert not await store.work.renew(gone, LEASE)
    assert not await store.work.finish(gone)
    assert not await store.work.retry(gone, clock.now, "late")
    assert not await store.work.fail(gone, "late")
    assert await store.work.finish(mine)


async def test_who_lost_his_lease_to_nobody_may_still_finish(home: Home, store: Store, clock: Clock) -> None:
    await store.work.enqueue([JOB])
    mine = await claim(store)
    await pass_seconds(home, clock, LEASE + 1)
    assert await store.work.finish(mine)
    assert not await store.work.finish(mine)


async def test_what_follows_from_a_job_is_enqueued_with_its_end(store: Store, clock: Clock) -> None:
    await store.work.enqueue([JOB])
    following = replace(JOB, kind="embed", run_at=clock.now + 1)
    assert await store.work.finish(await claim(store), [following])
    assert await store.work.due(["index"]) is None
    assert await store.work.due(["embed"]) == clock.now + 1


async def test_what_a_job_did_can_be_written_exactly_when_it_ends(
    home: Home, store: Store, clock: Clock
) -> None:
    def done(job: ClaimedJob, name: str) -> Steps[bool]:
        ended = yield from work.finish(job, ())
        if ended:
            yield from responses.save(P, turn(name))
        return ended

    await store.work.enqueue([JOB])
    late = await claim(store)
    await pass_seconds(home, clock, LEASE + 1)
    job = await claim(store, "you")
    assert not await store.write(done, late, "late")
    assert await store.write(done, job, "r")
    assert await store.responses.get(P, "late") is None
    assert await store.responses.get(P, "r") is not None


async def test_a_job_that_did_not_work_comes_again_when_it_should(store: Store, clock: Clock) -> None:
    await store.work.enqueue([JOB])
    mine = await claim(store)
    assert await store.work.retry(mine, clock.now + 30, "no answer")
    assert not await store.work.finish(mine)
    clock.now += 29
    assert await none_is_due(store)
    clock.now += 1
    assert (await claim(store)).attempts == 2


async def test_a_job_that_was_given_up_is_kept_for_people_to_see(store: Store, clock: Clock) -> None:
    await store.work.enqueue([replace(JOB, name="one")])
    mine = await claim(store)
    assert await store.work.fail(mine, "no such file")
    assert not await store.work.fail(mine, "again")

    clock.now += 1000
    assert await none_is_due(store)
    (failed,) = await store.work.failed(10)
    assert (failed.kind, failed.project, failed.attempts) == ("index", P, 1)
    assert (failed.error, failed.failed_at) == ("no such file", clock.now - 1000)
    await store.work.enqueue([replace(JOB, name="one")])
    assert (await claim(store)).key != failed.key

    assert await store.work.expire(clock.now - 1001, 10) == 0
    assert await store.work.expire(clock.now, 10) == 1
    assert await store.work.failed(10) == []


async def test_a_name_is_there_once_until_its_job_ended(store: Store, other: Store, clock: Clock) -> None:
    job = replace(JOB, name="every hour")
    await asyncio.gather(*(each.work.enqueue([job]) for each in (store, other) for _ in range(5)))
    mine = await claim(store)
    assert await none_is_due(store)

    assert await store.work.finish(mine, [replace(job, run_at=clock.now + 3600)])
    await other.work.enqueue([job])

    assert await store.work.due(["index"]) == clock.now + 3600
    await store.work.enqueue([replace(job, kind="other")])
    assert await store.work.due(["other"]) == 0


async def test_what_is_let_go_can_be_claimed_at_once_and_is_lost_to_who_had_it(
    store: Store, other: Store
) -> None:
    await store.work.enqueue([JOB])
    mine = await claim(store)
    await store.work.release("me")
    assert not await store.work.finish(mine)
    assert (await claim(other, "you")).attempts == 2


async def test_all_who_wait_for_jobs_wake_when_some_come(home: Home, clock: Clock) -> None:
    store = await home.open(clock, poll=60)
    waiting = [asyncio.create_task(store.work.wait_for_jobs("index")) for _ in range(5)]
    elsewhere = asyncio.create_task(store.work.wait_for_jobs("other"))
    await asyncio.sleep(0)

    await store.work.enqueue([JOB])

    _, asleep = await asyncio.wait(waiting, timeout=60)
    assert len(asleep) == 0
    assert not elsewhere.done()
    elsewhere.cancel()
    await asyncio.wait([elsewhere])
    await store.close()
