"""proxy: a bad network in a thread: cuts connections at random byte counts, loses answers, delays. Seeded.

    with Proxy(port, seed=7, bytes_between_cuts=50_000, answers_lost=0.01) as proxy: … proxy.port …

A cut may hit a request half-way up or an answer half-way down; a lost answer is one whose request the server surely had.
"""
import asyncio
import random
import socket
import threading


class Proxy:
    def __init__(self, port, seed=1, bytes_between_cuts=0, answers_lost=0.0, delay=0.0):
        self.target = port
        self.random = random.Random(seed)
        self.bytes_between_cuts = bytes_between_cuts
        self.answers_lost = answers_lost
        self.delay = delay
        self.cuts = self.lost = self.connections = 0
        self.left = self._next_cut()
        self.lose_answers = 0  # lose this many of the next answers to a POST, whatever else
        self.down = False  # accepts and closes

    def _next_cut(self):
        if not self.bytes_between_cuts:
            return float("inf")
        return self.random.expovariate(1 / self.bytes_between_cuts)

    # --- the thread ---

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = listening.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(listening, ready), daemon=True)
        self.thread.start()
        ready.wait()
        return self

    def _run(self, listening, ready):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, sock=listening))
        ready.set()
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
        self.connections += 1
        try:
            if self.down:
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return
        else:
            request = bytearray()  # what went up since the last answer
            pumps = [asyncio.ensure_future(self._pump(reader, up_writer, request, False)),
                     asyncio.ensure_future(self._pump(up_reader, writer, request, True))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            abort(up_writer)
        finally:
            abort(writer)

    async def _pump(self, reader, writer, request, answers):
        """Copies until the end or until bad luck strikes; either ends the connection, both ways."""
        try:
            while True:
                data = await reader.read(1 << 16)
                if not data:
                    break
                if self.delay:
                    await asyncio.sleep(self.random.random() * self.delay)
                if not answers:
                    request += data
                elif self._loses(request):
                    self.lost += 1
                    return
                else:
                    request.clear()
                self.left -= len(data)
                if self.left <= 0:
                    self.left = self._next_cut()
                    self.cuts += 1
                    writer.write(data[:self.random.randrange(len(data))])
                    await writer.drain()
                    await asyncio.sleep(0)
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def _loses(self, request):
        if self.lose_answers > 0 and request.startswith(b"POST"):
            self.lose_answers -= 1
            return True
        return self.random.random() < self.answers_lost


def abort(writer):
    """Ends a connection; what was written before is still sent."""
    try:
        writer.close()
    except (OSError, RuntimeError):
        pass
