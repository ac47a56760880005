"""A mail server for the tests: accepts what comes, appends it to a file as lines of JSON, and prints its port.

Who is written to says what happens: `refuse@` is refused for good, `later@` for now, and a mail to `once@` is accepted but
the connection is cut before the answer, the first time it comes; one to `slow@` is answered after two seconds.
"""

import asyncio
import base64
import json
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self, path):
        self.path = path
        self.cut = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refuse@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later@"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        with open(self.path, "a", encoding="ascii") as out:
            line = {"to": envelope.rcpt_tos, "raw": base64.b64encode(envelope.original_content).decode("ascii")}
            out.write(json.dumps(line) + "\n")
        for address in envelope.rcpt_tos:
            if address.startswith("slow@"):
                await asyncio.sleep(2)
            if address.startswith("once@") and address not in self.cut:
                self.cut.add(address)
                server.transport.abort()
        return "250 OK"


async def main():
    handler = Handler(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the test: the other end of this pipe is its.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
