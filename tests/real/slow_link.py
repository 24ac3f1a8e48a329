"""A long way between two programs on this machine: `python -m tests.real.slow_link PORT TARGET SECONDS`.

What comes in at PORT of 127.0.0.1 goes to TARGET there, later by so many seconds, and so do the answers; in order, and all of it.
"""

import asyncio
import sys


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        data = b"x"
        while data:
            due, data = await on_its_way.get()
            await asyncio.sleep(due - loop.time())
            writer.write(data)
        writer.close()

    delivering = asyncio.create_task(deliver())
    data = b"x"
    while data:
        data = await reader.read(1 << 16)
        on_its_way.put_nowait((loop.time() + seconds, data))
    await delivering


async def main(port: int, target: int, seconds: float) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_carry(reader, far_writer, seconds), _carry(far_reader, writer, seconds), return_exceptions=True)

    server = await asyncio.start_server(meet, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
