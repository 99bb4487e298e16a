"""fleet: phones in several hands, what must hold of them and their logs at the end, and how a control is checked."""
import os
import random
import time

from support import chain
from support.daemon import whole_log
from support.phone import Phone
from support.story import is_true, same

SOAK = os.environ.get("EDGEREPLAY_SOAK") == "1"


def times(short, soak):
    """How often: the short form, or the long one with EDGEREPLAY_SOAK=1."""
    return soak if SOAK else short


def must_fail(what, check, *words):
    """The control of a check: it must fail, and for the reason that one of the words names."""
    try:
        check()
    except AssertionError as error:
        is_true(any(word in str(error) for word in words), "the control (%s) fails for another reason: %s", what, error)
        return
    raise AssertionError("%s went unnoticed: the check is blind" % what)


class User:
    """A phone in somebody's hand, who acts and syncs at random, and remembers what was made."""

    def __init__(self, number, address, log, seed, kind=Phone, **phone):
        self.number, self.made, self.batches = number, [], 0
        self.random = random.Random("%s %d" % (seed, number))
        self.phone = kind(address, log, "device-%d" % number, seed="%s %d" % (seed, number), **phone)

    def act(self, count):
        for _ in range(count):
            payload = '{"name":"%d/%d"}' % (self.number, len(self.made))
            self.phone.act("t", payload)
            self.made.append(payload)

    def sync(self, mode="rebase", **members):
        """One attempt; counts it when it carried actions and was answered. False: unknown, the user waits a little."""
        carried = bool(self.phone.queue)
        if not self.phone.sync(mode, **members):
            time.sleep(self.random.random() * 0.02)
            return False
        self.batches += carried
        return True

    def round(self):
        """Acts, then syncs until an answer was there."""
        self.act(self.random.choice((0, 1, 1, 2, 5)))
        mode = self.random.choice(("rebase", "rebase", "reject"))
        for _ in range(500):
            if self.sync(mode, pull=self.random.choice((None, None, 0, 1, 7))):
                return
        raise AssertionError("phone %d is stuck: %r" % (self.number, self.phone.statistics))


def settle(users):
    """Everybody syncs until nothing is left to do; what one brings is news for those before, so three times."""
    for _ in range(3):
        for user in users:
            user.phone.settle()


def judge(client, users):
    """Every log has what its users made, once, acknowledged or not, and all of them agree. Returns the logs' actions."""
    logs = {}
    for log in sorted({user.phone.log for user in users}):
        actions, links = whole_log(client, log)
        owners = [user for user in users if user.phone.log == log]
        logs[log] = actions
        judge_actions(log, actions, owners)
        for user in owners:
            same(user.phone.aside, [], "phone %d set aside" % user.number)
            is_true(user.phone.links == links, "phone %d has not converged: at %d of %d", user.number, user.phone.base,
                    len(actions))
    return logs


def judge_actions(log, actions, owners):
    """What is in a log, once each."""
    payloads = [action["payload"] for action in actions]
    twice = {payload for payload in payloads if payloads.count(payload) > 1} if len(set(payloads)) < len(payloads) else ()
    is_true(not twice, "doubled in %s: %.300r", log, twice)
    keys = {chain.key(action) for action in actions}
    for user in owners:
        for action in user.phone.acknowledged:
            is_true(chain.key(action) in keys, "missing in %s though acknowledged: %r", log, action)
    made = {payload for user in owners for payload in user.made}
    is_true(made <= set(payloads), "missing in %s: %.300r", log, made - set(payloads))
    is_true(made >= set(payloads), "nobody made what is in %s: %.300r", log, set(payloads) - made)
