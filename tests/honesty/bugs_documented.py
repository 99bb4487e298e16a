"""
bugs_documented: bugs that make the documents wrong, and bugs of the clients in docs/examples.
"""
from bug import API, Bug

EXAMPLES = "docs/examples/"

DOCUMENTED = [
    Bug("member-nobody-documents", API + "sync.c",
        "an answer has a member of another name than openapi.yaml says",
        'buffer_append_text(&out, TEXT(",\\"refused\\":"));', 'buffer_append_text(&out, TEXT(",\\"rejected\\":"));',
        ["e2e/90_openapi.py to_a_sync"]),
    Bug("header-that-is-gone", API + "events.c",
        "a header that openapi.yaml promises is not sent",
        'request_add_header(call->request, "X-Accel-Buffering", TEXT("no"));', "",
        ["e2e/90_openapi.py other_routes"]),
    Bug("advice-that-has-changed", "server/base/status.h",
        "clients are advised to do something else than openapi.yaml says",
        '"FORBIDDEN", RETRY_NEVER, "This log', '"FORBIDDEN", RETRY_AUTH, "This log',
        ["e2e/90_openapi.py who_asks"]),
    Bug("route-nobody-documents", API + "route.c",
        "there is a route that openapi.yaml has not",
        '\t{{"/head", 5}, ROUTE_HEAD},', '\t{{"/head", 5}, ROUTE_HEAD},\n\t{{"/heads", 6}, ROUTE_HEAD},',
        ["e2e/90_openapi.py routes_and_methods"]),
    Bug("python-believes-a-hash", EXAMPLES + "python/client.py",
        "confirms what does not lead to the server's hash",
        "if (at, here.hex()) != (seq, state_hash):", "if at != seq:", ["e2e/92_examples_refused.py no_hash"]),
    Bug("python-forgets-what-waits", EXAMPLES + "python/client.py",
        "takes what it sent out of the queue before it is confirmed",
        '        status, answer = self.call("POST", self.path + "sync", body)\n',
        '        for row in batch:\n            store.drop(row)\n        status, answer = self.call("POST", self.path + "sync", body)\n',
        ["e2e/91_examples.py lost_answer", "e2e/91_examples.py killed"]),
    Bug("javascript-throws-away", EXAMPLES + "javascript/client.mjs",
        "what a server has lost is lost on the phone, too",
        "this.queue.unshift(...back.map((action) => ({ ...action, again: true })));", "this.aside.push(...back);",
        ["e2e/91_examples.py restored"]),
    Bug("javascript-drops-what-is-refused", EXAMPLES + "javascript/client.mjs",
        "an action whose stamp is taken is lost",
        "store.write('stamp', [[place, action.ts + 1]]);", "store.write('drop', place);",
        ["e2e/92_examples_refused.py stamped_anew"]),
    Bug("c-believes-a-hash", EXAMPLES + "c/store.c",
        "confirms what does not lead to the server's hash",
        "!= seq || strcmp(hex, state_hash) != 0)", "!= seq)", ["e2e/92_examples_refused.py no_hash"]),
    Bug("c-little-endian", EXAMPLES + "c/chain.c",
        "hashes numbers in the order of its own processor",
        "(value >> 8 * (size - 1 - i))", "(value >> 8 * i)", ["e2e/91_examples.py vectors"]),
]
