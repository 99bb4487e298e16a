"""
bad_network: a network that harms requests one by one, seeded: what an exchange meets follows from the seed, the number of
its connection and its place on it.

    with BadNetwork(port, seed=7, harm=0.2) as network: … network.address …

It reads whole requests and answers, so it knows what it breaks: a lost answer is one whose request the server has carried
out; a late copy of a request comes when its sender has long gone on.
"""
import asyncio
import collections
import random
import socket
import struct
import threading

SLICED = 300  # bytes of a message that come one by one
LATE = 40  # exchanges until a late copy comes, at most


class Over(Exception):
    """The connection has ended, or shall."""


async def message(reader):
    """The bytes of one request or answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


def reset(writer):
    """Ends a connection so that the other side sees a reset."""
    inside = writer.get_extra_info("socket")
    if inside is not None:
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class BadNetwork:
    """What happens to an exchange is one of the methods in HARMS; a subclass may have others."""

    def __init__(self, target, seed, harm):
        self.target, self.seed, self.harm = target, seed, harm
        self.counts = collections.Counter()
        self.connections = 0
        self.late = []  # [exchanges to go, request]
        self.copies = set()  # tasks that bring a copy
        self.random = random.Random("%s late" % seed)

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = listening.getsockname()
        self.thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self.thread.start()
        return self

    def _run(self, listening):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, sock=listening))
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    # --- one connection ---

    async def _serve(self, reader, writer):
        rolls = random.Random("%s %d" % (self.seed, self.connections))
        self.connections += 1
        lane = Lane(self.target, reader, writer, rolls)
        try:
            while True:
                request = await message(reader)
                self.counts["exchanges"] += 1
                self._send_late()
                name = rolls.choice(self.HARMS) if rolls.random() < self.harm else "pass_on"
                self.counts[name] += 1
                await getattr(self, name)(lane, request)
        except (OSError, EOFError, Over):
            pass
        finally:
            lane.close()

    def _send_late(self):
        for entry in list(self.late):
            entry[0] -= 1
            if entry[0] <= 0:
                self.late.remove(entry)
                self._send_copy(entry[1])

    def _send_copy(self, request, connection=None):
        copy = asyncio.ensure_future(self._copy(request, connection))
        self.copies.add(copy)
        copy.add_done_callback(self.copies.discard)
        return copy

    def flush(self):
        """What is still under way arrives now; returns when all of it was answered."""
        asyncio.run_coroutine_threadsafe(self._flush(), self.loop).result(120)

    async def _flush(self):
        for entry in self.late:
            self._send_copy(entry[1])
        self.late.clear()
        await asyncio.gather(*self.copies)

    async def _copy(self, request, connection=None):
        """The same bytes on a connection of their own; returns the answer, of which no client hears."""
        try:
            reader, writer = connection or await asyncio.open_connection("127.0.0.1", self.target)
            writer.write(request)
            answer = await message(reader)
            self.counts["copies answered"] += 1
            writer.close()
            return answer
        except (OSError, EOFError):
            return b""

    # --- what may happen to an exchange ---

    async def pass_on(self, lane, request):
        await lane.down(await lane.up(request))

    async def delay(self, lane, request):
        await asyncio.sleep(lane.random.random() * 0.03)
        answer = await lane.up(request)
        await asyncio.sleep(lane.random.random() * 0.03)
        await lane.down(answer)

    async def single_bytes(self, lane, request):
        await lane.down(await lane.up(request, SLICED), SLICED)

    async def half_request(self, lane, request):
        """A part arrives, then the end or a reset."""
        writer = (await lane.upstream())[1]
        writer.write(request[:lane.random.randrange(1, len(request))])
        await writer.drain()
        await asyncio.sleep(0)
        if lane.random.random() < 0.5:
            reset(writer)
        raise Over()

    async def reset_before(self, lane, _request):
        reset(lane.writer)
        raise Over()

    async def lost_answer(self, lane, request):
        """The server has answered; its client hears a reset, or nothing more."""
        await lane.up(request)
        if lane.random.random() < 0.5:
            reset(lane.writer)
        raise Over()

    async def half_answer(self, lane, request):
        answer = await lane.up(request)
        await lane.down(answer[:lane.random.randrange(1, len(answer))])
        raise Over()

    async def twice_at_once(self, lane, request):
        """The request arrives over two ways at the same time; the first one's answer is heard."""
        await lane.upstream()
        self._send_copy(request, await asyncio.open_connection("127.0.0.1", self.target))
        await lane.down(await lane.up(request))

    async def late_copy(self, lane, request):
        self.late.append([self.random.randrange(1, LATE), request])
        await self.pass_on(lane, request)

    async def late_copy_of_lost(self, lane, request):
        """The client hears a reset and repeats; what it sent first arrives after all, long after the repeat."""
        self.late.append([self.random.randrange(1, LATE), request])
        await self.reset_before(lane, request)

    HARMS = ("delay", "single_bytes", "half_request", "reset_before", "lost_answer", "half_answer", "twice_at_once",
             "late_copy", "late_copy_of_lost")


class Lane:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, target, reader, writer, rolls):
        self.target, self.reader, self.writer, self.random = target, reader, writer, rolls
        self.server = None

    async def upstream(self):
        if self.server is None:
            self.server = await asyncio.open_connection("127.0.0.1", self.target)
        return self.server

    async def up(self, request, sliced=0):
        """Sends the request; the server's answer."""
        reader, writer = await self.upstream()
        await send(writer, request, sliced)
        return await message(reader)

    async def down(self, answer, sliced=0):
        await send(self.writer, answer, sliced)
        if b"\nConnection: close\r\n" in answer:
            raise Over()

    def close(self):
        for writer in filter(None, (self.writer, self.server and self.server[1])):
            try:
                writer.close()
            except (OSError, RuntimeError):
                pass


async def send(writer, data, sliced):
    """The first `sliced` bytes one by one, the rest at once."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(min(sliced, len(data))):
        writer.write(data[at:at + 1])
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(data[sliced:])
    await writer.drain()
