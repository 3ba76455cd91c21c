"""Several agents in one response: turns of the same model, each with a context of its own.

The root has the request. Whoever has a turn may spawn others, below itself, and tell them things. What one
tells another is a letter, which waits in a box until the other takes its next turn: then it becomes an item
of the log, before what the other says. So the log alone tells what each agent has read, and a later response
goes on from it.

An agent that has called the client is paused. The response ends when nobody works: all are done, or paused,
or wait for somebody who is. Over a WebSocket it stays open for a while then, since outputs may be injected.
"""

import asyncio
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec
from msgspec.structs import replace

from antiphon.context.agents import ROOT, owners
from antiphon.context.seal import Seal
from antiphon.context.transcript import AGENT, letter
from antiphon.engine.agent import Agent, Takes, all_ended
from antiphon.engine.agent_calls import (
    INTERRUPTED,
    answers,
    interrupted,
    is_by_client,
    speaker,
    unanswered,
)
from antiphon.engine.emission import Emission
from antiphon.engine.prepare.compaction_point import exceeds_threshold
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.prepare.unsupported import check_capable
from antiphon.engine.shared_flush import SharedFlush
from antiphon.engine.turn_writer import TurnWriter
from antiphon.engine.turns import REPAIRS, TURNS, following
from antiphon.guard.offload import offload
from antiphon.model import Message, TextPart, Turn
from antiphon.protocol.agent_items import Action, EncryptedText
from antiphon.protocol.content import OutputText
from antiphon.protocol.errors import ApiError, ModelFault
from antiphon.protocol.frames import CreateFrame
from antiphon.protocol.item import AgentName, Item
from antiphon.protocol.items import AgentMessage, Compaction, MultiAgentCall, MultiAgentCallOutput
from antiphon.stream.kinds import kind_of
from antiphon.stream.machine import SPEAKER, IncompleteReason, Machine
from antiphon.tools.calls import Arguments

CONCURRENT = 3
"""Subagents that work at once, where the request does not say."""
MOST = 32
"""Agents of a response."""
TURNS_IN_ALL = 200
"""Turns of all agents of a response together."""
INJECTION_SECONDS = 10.0
"""How long a response waits for its client over a WebSocket when nobody works."""


_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch


class _Cut(Exception):
    """A turn is the last although there is more to say."""

    def __init__(self, reason: IncompleteReason) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def speaking(agent: str) -> Iterator[None]:
    """While the block lasts items are added in the name of an agent."""
    token = SPEAKER.set(agent)
    try:
        yield
    finally:
        SPEAKER.reset(token)


class Crew:
    """The agents of a response, at work."""

    def __init__(self, plan: Plan, machine: Machine, seal: Seal, takes: Takes, emission: Emission) -> None:
        options = plan.request.multi_agent
        self._plan = plan
        self._machine = machine
        self._seal = seal
        self._takes = takes
        self._most = (options and options.max_concurrent_subagents) or CONCURRENT
        self._injectable = isinstance(plan.request, CreateFrame)
        self._agents: dict[str, Agent] = {}
        self._due: deque[Agent] = deque()
        """Those of earlier responses that are still to go on."""
        self._changed = asyncio.Event()
        self._flushing = SharedFlush(emission)
        self._ending = False
        self._turns = 0
        """How many were taken."""

    async def run(self, turn: Turn) -> IncompleteReason | None:
        """Until nobody works. `turn`: the root's first. Gives why the root was cut short. Raises ApiError."""
        try:
            reason = await self._until_nobody_works(turn)
            await self._stop()
            for agent in self._agents.values():
                await self._deliver(agent)
            return reason
        except asyncio.CancelledError:
            self._flushing.give_up()
            raise
        finally:
            await self._stop()

    async def _until_nobody_works(self, turn: Turn) -> IncompleteReason | None:
        try:
            await self._restore(turn)
            while await self._goes_on():
                self._changed.clear()
                self._reap()
                self._start_due()
        except _Cut as cut:
            return cut.reason
        return None

    # ---- who is there ----

    async def _restore(self, turn: Turn) -> None:
        """The agents of earlier responses of the chain go on where they were."""
        items = self._plan.context.items
        owned = zip(owners(items), items, strict=True)
        last = {name: item for name, item in owned if not isinstance(item, Compaction)}
        self._agents[ROOT] = Agent(ROOT, turn)
        for name, item in list(last.items())[: MOST - 1]:
            if name == ROOT:
                continue
            built = await offload(len(items), self._plan.turns.build, items, name)
            agent = self._agents[name] = Agent(name, self._plain(built))
            agent.approved = [call for call in self._plan.approved if call.agent == name]
            if isinstance(item, AgentMessage) or kind_of(item).nature == "output":
                self._due.append(agent)
        self._start(self._agents[ROOT])
        self._start_due()

    def _start_due(self) -> None:
        """Those that have something to read go on, as many as may work at once."""
        while self._due and self._subagents < self._most and not self._ending:
            agent = self._due.popleft()
            if agent.running is None:
                self._start(agent)

    def _start(self, agent: Agent) -> None:
        agent.unreported = agent.due = False
        agent.running = asyncio.create_task(self._work(agent))
        agent.running.add_done_callback(lambda _: self._changed.set())

    @property
    def _subagents(self) -> int:
        """How many of them are at work."""
        return sum(agent.running is not None for agent in self._agents.values() if agent.name != ROOT)

    def _has_help(self, agent: Agent) -> bool:
        """Whether somebody still works for it."""
        return any(
            other.running is not None and other.name.startswith(f"{agent.name}/")
            for other in self._agents.values()
        )

    # ---- the work of one ----

    async def _work(self, agent: Agent) -> str | None:
        """Turns of an agent, until it has said its last; None: the response ends before. Raises _Cut, and
        ApiError."""
        SPEAKER.set(agent.name)
        await self._compact(agent)
        await self._make_approved(agent)
        faulty = 0
        for _ in range(TURNS):
            self._turns += 1
            if self._turns > TURNS_IN_ALL:
                raise _Cut("max_messages")
            await self._deliver(agent)
            writer = await self._takes.turn(agent.turn, self._flushing.flush, lambda: self._phase(agent))
            if writer.cut is not None:
                raise _Cut(writer.cut)
            agent.turn = following(agent.turn, writer, self._plan.toolbox.functions)
            if writer.awaits_client:
                await self._ask_client(agent, writer)
            elif writer.ends and not agent.mail:
                return "".join(part.text for part in writer.spoken().parts if isinstance(part, TextPart))
            elif self._ending:
                return None
            faulty = faulty + 1 if writer.faults else 0
            if faulty > REPAIRS:
                raise ModelFault(f"The model's call was not valid, {faulty} times: {writer.faults[-1]}")
        raise _Cut("max_messages")

    async def _compact(self, agent: Agent) -> None:
        """What a subagent knows is compacted where it has grown too long. What the root knows was before."""
        plan = self._plan
        if agent.name == ROOT or len(agent.turn.messages) <= plan.turns.pinned:
            return
        if not await exceeds_threshold(plan.request, plan.caller, agent.turn):
            return
        await self._takes.compact(agent.turn, self._flushing.flush)
        items = (*plan.context.items, *filter(None, self._machine.items))
        agent.turn = self._plain(await offload(len(items), plan.turns.build, items, agent.name))

    async def _make_approved(self, agent: Agent) -> None:
        """What an agent asked a user for, it goes on with."""
        calls, agent.approved = agent.approved, []
        if calls:
            agent.turn = await self._takes.approved(agent.turn, calls, self._flushing.flush)

    def _plain(self, turn: Turn) -> Turn:
        """A turn of a subagent: what the request says of the form of the answer is for the root."""
        return replace(turn, format="text", choice="auto")

    def _phase(self, agent: Agent) -> Literal["commentary", "final_answer"]:
        return "commentary" if agent.mail or self._has_help(agent) else "final_answer"

    async def _deliver(self, agent: Agent) -> None:
        """What waits for an agent becomes part of what it reads."""
        mail, agent.mail = agent.mail, []
        agent.news.clear()
        agent.due = False
        for author, text in mail:
            sealed = self._seal.seal(self._plan.project, AGENT, text)
            item = AgentMessage(
                id=self._machine.new_id("agent_message"),
                agent=AgentName(author),
                author=author,
                recipient=agent.name,
                content=(EncryptedText(sealed),),
            )
            self._machine.add(item)
            read = Message("user", parts=(TextPart(letter(author, agent.name, text)),))
            agent.turn = replace(agent.turn, messages=(*agent.turn.messages, read))
        if mail:
            await self._flushing.flush()

    async def _ask_client(self, agent: Agent, writer: TurnWriter) -> None:
        """Until the client has answered the calls of a turn."""
        asked = {call.id for call in writer.calls if call.ended and call.executor != "server"}
        agent.owed = asked - agent.early
        agent.early.clear()
        try:
            if agent.owed:
                await self._block(agent, agent.answered)
        finally:
            agent.turn = replace(agent.turn, messages=(*agent.turn.messages, *agent.answers))
            agent.answers = []

    async def _block(self, agent: Agent, until: asyncio.Event) -> None:
        until.clear()
        agent.blocked = True
        self._changed.set()
        try:
            await until.wait()
        finally:
            agent.blocked = False

    # ---- all of them ----

    async def _goes_on(self) -> bool:
        """Wait until something has changed; False when nothing will."""
        if self._changed.is_set():
            return True
        blocked = [agent for agent in self._agents.values() if agent.running is not None and agent.blocked]
        if len(blocked) < sum(agent.running is not None for agent in self._agents.values()):
            await self._changed.wait()
            return True
        paused = [agent for agent in blocked if agent.owed]
        if paused and self._injectable and self._unanswered() and await self._changes_soon():
            return True
        for agent in paused:
            await self._cancel(agent)
        self._ending = self._ending or bool(paused)
        for agent in blocked:
            agent.news.set()
            agent.blocked = False
        return len(blocked) > len(paused)

    async def _changes_soon(self) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), INJECTION_SECONDS)
        except TimeoutError:
            return False
        return True

    def _reap(self) -> None:
        """See to those who have ended. Raises ApiError and _Cut for the root."""
        for agent in list(self._agents.values()):
            task = agent.running
            if task is None or not task.done():
                continue
            agent.running, agent.owed, agent.blocked = None, set(), False
            report = self._outcome(agent, task)
            if report is not None and agent.name != ROOT and not self._has_help(agent):
                self._post(self._agents.get(agent.parent), agent.name, report, starts=not self._ending)
            if agent.due and not self._ending:
                self._start(agent)

    def _outcome(self, agent: Agent, task: asyncio.Task[str | None]) -> str | None:
        """What an agent that has ended has to say to its parent. Raises ApiError and _Cut for the root."""
        fault = None if task.cancelled() else task.exception()
        if not task.cancelled() and fault is None:
            return task.result()
        if fault is not None and (agent.name == ROOT or not isinstance(fault, ApiError | _Cut)):
            raise fault
        self._machine.abandon_of(agent.name)
        self._answer_calls(agent)
        agent.early, agent.answers = set(), []
        if fault is None:
            return "I was interrupted." if agent.unreported else None
        why = fault.message if isinstance(fault, ApiError) else f"It was cut short ({fault})."
        return f"I could not finish. {why}"

    def _answer_calls(self, agent: Agent) -> None:
        """Calls of an agent that were made and not answered: each has an answer when its response ends."""
        for item in unanswered(self._machine.items).values():
            if isinstance(item, MultiAgentCall) and speaker(item) == agent.name:
                self._machine.add(
                    MultiAgentCallOutput(
                        id=self._machine.new_id("multi_agent_call_output"),
                        agent=item.agent,
                        action=item.action,
                        call_id=item.call_id,
                        output=(OutputText(text=INTERRUPTED),),
                    )
                )

    def _post(self, to: Agent | None, author: str, text: str, *, starts: bool) -> None:
        """A letter. `starts`: whether it begins work where there is none."""
        if to is None:
            return
        to.mail.append((author, text))
        to.news.set()
        to.due = to.due or starts
        if not to.owed:
            to.blocked = False
        if starts and to.running is None and not self._ending:
            self._start(to)
        self._changed.set()

    async def _cancel(self, agent: Agent) -> None:
        if agent.running is not None:
            agent.running.cancel()
            await asyncio.wait({agent.running})
            agent.running = None

    async def _stop(self) -> None:
        """End all at once: whoever still worked would begin others meanwhile."""
        self._ending = True
        working = [agent.running for agent in self._agents.values() if agent.running is not None]
        for task in working:
            task.cancel()
        try:
            await all_ended(working)
            await self._flushing.settle()
        finally:
            self._flushing.give_up()
            for agent in self._agents.values():
                agent.running = None
                self._machine.abandon_of(agent.name)
                self._answer_calls(agent)

    # ---- what the client gives them ----

    async def inject(self, outputs: Sequence[Item]) -> bool:
        """Give agents what their calls wait for: all of it, or nothing, where it is not waited for, or no
        more when what it has attached is there. Raises InvalidRequest for what the model cannot read, and
        Unavailable."""
        if answers(outputs, self._unanswered()) is None:
            return False
        plan = self._plan
        attached = await plan.attach(outputs, outputs)
        read = [plan.turns.transcript.read([attached(output)]) for output in outputs]
        for messages in read:
            check_capable(plan.request, replace(plan.turn, messages=messages), plan.caller.capabilities)
        calls = answers(outputs, self._unanswered())
        if calls is None:
            return False
        for call, output, messages in zip(calls, outputs, read, strict=True):
            self._answer(call, output, messages)
        self._changed.set()
        return True

    def _answer(self, call: Item, output: Item, messages: Sequence[Message]) -> None:
        agent = self._agents[speaker(call)]
        self._machine.add(replace(output.stored(self._machine.new_id), agent=AgentName(agent.name)))
        agent.answers += messages
        call_id = str(getattr(output, "call_id", None))
        if call_id not in agent.owed:
            agent.early.add(call_id)
            return
        agent.owed.discard(call_id)
        if not agent.owed:
            agent.blocked = False
            agent.answered.set()

    def _unanswered(self) -> dict[str, Item]:
        """The calls of agents at work that the client answers and has not answered, by their ids: also of
        turns that have not ended, where nobody but a client answers such calls."""
        working = {agent.name: agent for agent in self._agents.values() if agent.running is not None}
        return {
            call_id: call
            for call_id, call in unanswered(self._machine.items).items()
            if (agent := working.get(speaker(call))) and (call_id in agent.owed or is_by_client(call))
        }

    # ---- what they want of each other ----

    async def act(self, agent: str, action: Action, arguments: Arguments) -> str:
        """Carry out what an agent wants; what it reads of that."""
        own = self._agents[agent]
        if action == "wait_agent":
            return await self._wait(own)
        if action == "list_agents":
            return self._list()
        if action == "spawn_agent":
            return self._spawn(own, arguments["task_name"], arguments["message"])
        target = self._agents.get(arguments["target"])
        if target is None or target is own:
            return f"There is no such agent beside you. These are there: {', '.join(self._agents)}."
        if action == "send_message":
            self._post(target, agent, arguments["message"], starts=False)
            return f"{target.name} reads it before its next turn."
        if action == "followup_task":
            return self._follow_up(own, target, arguments["message"])
        return await self._interrupt(own, target)

    def _spawn(self, parent: Agent, task_name: str, text: str) -> str:
        name = f"{parent.name}/{task_name}"
        if not _SLUG(task_name) or name in self._agents:
            return "A task_name is new, and has up to 64 letters, digits, _ and -."
        if (full := self._full()) is not None:
            return full
        if len(self._agents) >= MOST:
            return f"A response has {MOST} agents at most. Use those that are there."
        agent = self._agents[name] = Agent(name, self._plain(self._plan.turns.build(())))
        agent.task = text
        self._post(agent, parent.name, text, starts=True)
        return f"The agent {name} has begun."

    def _follow_up(self, own: Agent, target: Agent, text: str) -> str:
        if target.name == ROOT:
            return "The root is given no tasks. Send it a message."
        if (self._ending or target.running is None) and (full := self._full()) is not None:
            return full
        target.task = text
        self._post(target, own.name, text, starts=True)
        return f"{target.name} goes on with it."

    def _full(self) -> str | None:
        """Why nobody may begin to work."""
        if self._ending:
            return "The response ends: nobody begins to work any more."
        if self._subagents < self._most:
            return None
        return f"{self._most} agents work already, and no more may at once. Wait for one of them."

    async def _interrupt(self, own: Agent, target: Agent) -> str:
        if own.name.startswith(f"{target.name}/"):
            return f"{target.name} cannot be interrupted: you work for it."
        if target.running is None:
            return f"{target.name} does nothing just now."
        waiting = self._unanswered()
        calls = [call for call in waiting.values() if speaker(call) == target.name]
        outputs = [output for call in calls if (output := interrupted(call)) is not None]
        if len(outputs) < len(calls) or not target.owed <= waiting.keys():
            return f"{target.name} cannot be interrupted: it waits for what a client does."
        for call, output in zip(calls, outputs, strict=True):
            self._answer(call, output, self._plan.turns.transcript.read([output]))
        target.running.cancel()
        target.due = False
        target.unreported = target.unreported or own.name != target.parent
        return f"{target.name} is interrupted."

    async def _wait(self, own: Agent) -> str:
        if (
            not own.mail
            and not self._ending
            and any(other.running is not None for other in self._agents.values() if other is not own)
        ):
            await self._block(own, own.news)
        if own.mail:
            return f"There are messages from {', '.join(dict.fromkeys(author for author, _ in own.mail))}."
        return "No message has come, and nobody works who could send one."

    def _list(self) -> str:
        agents = self._agents.values()
        rows = [{"name": each.name, "status": each.status, "task": each.task} for each in agents]
        return msgspec.json.encode(rows).decode()
