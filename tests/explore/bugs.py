# ruff: noqa: E501  (the core's lines are quoted as they stand)
"""Bugs to plant, one at a time: each undoes one safeguard of the core.

A check that cannot fail proves nothing.  `Bug.plant` applies one to a copy of csrc/, and
`make explore` fails unless every one is caught.  A text that is not found exactly once
is an error, so the list cannot fall behind the core unnoticed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

CSRC = Path(__file__).resolve().parents[2] / "csrc"


class Bug(NamedTuple):
    name: str
    what: str
    near: str  # a scenario to try first
    changes: tuple[tuple[str, str, str], ...]  # file, text, what takes its place

    def plant(self, csrc: Path) -> None:
        """Make a copy of the core with the bug in it."""
        shutil.copytree(CSRC, csrc)
        for file, text, instead in self.changes:
            path = csrc / file
            source = path.read_text(encoding="utf-8")
            if source.count(text) != 1:
                raise SystemExit(
                    f"bug {self.name}: found {source.count(text)} times in {file}: {text!r}"
                )
            path.write_text(source.replace(text, instead), encoding="utf-8")


BUGS = (
    Bug(
        "publish_after_unblock",
        "close unblocks the waiters first and sets the closing bit afterwards",
        "unblock_ends_a_wait",
        (
            ("desc.c", "    set_info(d, info, 0);\n    for (int i", "    for (int i"),
            (
                "desc.c",
                "        unblock_locked(&d->side[i], false, wakes);\n    }\n",
                "        unblock_locked(&d->side[i], false, wakes);\n    }\n    set_info(d, info, 0);\n",
            ),
        ),
    ),
    Bug(
        "no_recheck_after_wait",
        "a waiter does not look at the info word again after its semaphore says WAIT",
        "unblock_ends_a_wait",
        (
            (
                "desc.c",
                "    if (rc == NP_OK)\n        rc = np_block_check(d, s, flags);\n",
                "",
            ),
        ),
    ),
    Bug(
        "publishing_store_not_seq_cst",
        "the closing bit may stay in the store buffer while the semaphore is read",
        "unblock_ends_a_wait",
        (
            ("desc.c", "    set(&d->info, (np_load", "    np_store_weak(&d->info, (np_load"),
            ("desc.c", "    set_info(d, info, 0);\n    for (int i", "    for (int i"),
            (
                "desc.c",
                "        unblock_locked(&d->side[i], false, wakes);\n    }\n",
                "        set_info(d, info, 0);\n"
                "        unblock_locked(&d->side[i], false, wakes);\n    }\n",
            ),
        ),
    ),
    Bug(
        "expiring_store_not_seq_cst",
        "the expired bit may stay in the store buffer while the semaphore is read",
        "a_deadline_of_now_reaches_the_waiter",
        (
            ("desc.c", "    set(&d->info, (np_load", "    np_store_weak(&d->info, (np_load"),
            (
                "desc.c",
                "        set_info(d, expired, 0);\n    np_store64",
                "        (void)d;\n    np_store64",
            ),
        ),
    ),
    Bug(
        "wait_is_nobodys",
        "an event sets a side in WAIT free under the waiter that prepares to park",
        "a_side_changes_hands_while_one_parks",
        (
            (
                "desc.c",
                "        return ready ? SEM_WAIT_READY : SEM_WAIT_AGAIN;",
                "        return ready ? SEM_READY : SEM_NIL;",
            ),
        ),
    ),
    Bug(
        "event_during_wait_is_dropped",
        "a waiter that gives up takes the notification with it",
        "two_threads_drive_in_turn",
        (
            (
                "desc.c",
                "np_cas(&s->sem, SEM_WAIT_READY, SEM_READY);",
                "np_cas(&s->sem, SEM_WAIT_READY, SEM_NIL);",
            ),
        ),
    ),
    Bug(
        "armed_before_wait",
        "a level-triggered descriptor is armed before its side is taken",
        "a_second_waiter_is_refused",
        (
            ("desc.c", "    if (d->poller->backend->arm)\n        rc = arm(d, s->mode);\n", ""),
            (
                "desc.c",
                "        if (np_cas(&s->sem, SEM_NIL, SEM_WAIT))\n",
                "        if (d->poller->backend->arm)\n            arm(d, s->mode);\n"
                "        if (np_cas(&s->sem, SEM_NIL, SEM_WAIT))\n",
            ),
        ),
    ),
    Bug(
        "arming_wakes_nobody",
        "who sleeps in poll(2) is not told that more is armed",
        "the_followers_event_comes_first",
        (("desc.c", "        wakes.raise = rc > 0;\n", ""),),
    ),
    Bug(
        "thread_and_token_share_a_place",
        "a thread that parks overwrites a token on its way",
        "a_thread_and_a_token_on_one_side",
        (
            (
                "internal.h",
                "    np_waiter *thread;\n    np_token token;\n",
                "    union {\n        np_waiter *thread;\n        np_token token;\n    };\n",
            ),
        ),
    ),
    Bug(
        "claim_marked_late",
        "the side is free before its token is marked as queued",
        "a_token_parks_while_one_is_queued",
        (
            (
                "desc.c",
                "        if (old == SEM_TOKEN)\n            np_store(&s->claim, CLAIM_QUEUED);\n",
                "",
            ),
            (
                "poller.c",
                "    s->next = NULL;\n    if (p->ready_first)",
                "    np_store(&s->claim, CLAIM_QUEUED);\n    s->next = NULL;\n    if (p->ready_first)",
            ),
        ),
    ),
    Bug(
        "claim_not_looked_at",
        "a token parks while the last one of its side is still in the queue",
        "a_token_beside_one_on_its_way",
        (("desc.c", "if (claim == CLAIM_QUEUED || claim == CLAIM_DROPPED)", "if (claim > 99)"),),
    ),
    Bug(
        "looked_at_after_the_commit",
        "who has parked a token looks at the descriptor, which may have gone with it",
        "a_token_takes_its_reference_along",
        (
            (
                "desc.c",
                "        NP_PROBE3(park, d, fd, mode);\n",
                "        (void)fd;\n        (void)np_load(&d->info);\n",
            ),
        ),
    ),
    Bug(
        "reset_drops_the_news",
        "reset takes the notification that a token on its way is to report",
        "reset_spares_the_news",
        (
            (
                "desc.c",
                "    if (rc == NP_OK && np_load(&s->sem) == SEM_READY)\n"
                "        np_cas(&s->sem, SEM_READY, SEM_NIL);",
                "    if (rc == NP_OK)\n        consume(s);",
            ),
        ),
    ),
    Bug(
        "cancel_takes_the_event",
        "a token that is cancelled on its way out takes its notification with it",
        "cancel_against_an_event",
        (
            (
                "desc.c",
                "np_cas(&s->sem, SEM_NEWS, SEM_READY);",
                "np_cas(&s->sem, SEM_NEWS, SEM_NIL);",
            ),
        ),
    ),
    Bug(
        "cancel_takes_anybodys_token",
        "np_cancel_token withdraws whatever token is parked",
        "who_gives_up_withdraws_its_own",
        (
            (
                "desc.c",
                "        if (only && *only != s->token)\n            return false;\n        np_dec",
                "        (void)only;\n        np_dec",
            ),
        ),
    ),
    Bug(
        "no_tag_check",
        "an event goes to whoever has the slot now",
        "a_stale_event_reaches_nobody",
        (("thread.c", "if (d && np_tag_of(d) == events[i].tag && ", "if (d && "),),
    ),
    Bug(
        "fdseq_stays",
        "a slot that is given back keeps its fdseq",
        "a_stale_event_reaches_nobody",
        (("cache.c", "    d->fdseq++; ", "    "),),
    ),
    Bug(
        "queue_holds_no_reference",
        "the slot goes back while its token is in the ready queue",
        "the_last_handle_goes_with_a_token_queued",
        (
            ("poller.c", "    np_inc(&np_desc_of(s)->refs);\n", ""),
            (
                "poller.c",
                "        np_unref_locked(np_desc_of(s), wakes);\n",
                "        (void)wakes;\n",
            ),
        ),
    ),
    Bug(
        "last_reference_not_looked_at_again",
        "the last handle goes, an event queues the token, and the slot is freed all the same",
        "the_last_handle_goes_under_an_event",
        (("open.c", "    if (np_load(&d->refs) != 0)\n        return false;\n", ""),),
    ),
    Bug(
        "last_reference_dropped_without_the_lock",
        "between the count's coming to 0 and the lock an event queues the token, and takes the slot along",
        "the_last_handle_goes_under_an_event",
        (
            ("open.c", "    if (np_dec(&d->refs) != 1)\n        return false;\n", ""),
            (
                "open.c",
                "    if (unref_locked(d, wakes))",
                "    if (np_dec(&d->refs) == 1 && unref_locked(d, wakes))",
            ),
            (
                "open.c",
                "    for (uint32_t refs = np_load(&d->refs); refs > 1; refs = np_load(&d->refs))\n"
                "        if (np_cas(&d->refs, refs, refs - 1))\n            return;\n",
                "    if (np_dec(&d->refs) != 1)\n        return;\n",
            ),
        ),
    ),
    Bug(
        "poller_gone_before_the_lock_was_left",
        "who drops a descriptor holds no reference to the poller whose lock it leaves",
        "the_poller_goes_with_its_last_descriptor",
        (
            (
                "open.c",
                "    if (!unref_locked(d, &wakes))\n        np_poller_ref(p);\n"
                "    np_unlock(p, &wakes);\n    np_poller_unref(p);\n",
                "    bool last = unref_locked(d, &wakes);\n"
                "    np_unlock(p, &wakes);\n    if (last)\n        np_poller_unref(p);\n",
            ),
        ),
    ),
    Bug(
        "replaced_number_keeps_its_waiter",
        "who waits on a number that was closed underneath is not told when it is opened anew",
        "a_number_closed_underneath",
        (
            (
                "open.c",
                "    if (old)\n        close_locked(old, wakes);",
                "    if (old && !wakes)\n        close_locked(old, wakes);",
            ),
        ),
    ),
    Bug(
        "no_seq_check",
        "a timer that comes to the top fires though its deadline was moved",
        "a_deadline_moved_while_it_fires",
        (("timers.c", "        if (s->timer_seq == s->seq)\n", "        if (s)\n"),),
    ),
    Bug(
        "combined_timer_not_invalidated",
        "the read side's timer, kept for both, is moved and the write side gets none",
        "equal_deadlines_parted",
        (("desc.c", "    if (wd != wd0 || regroup) {", "    if (wd != wd0) {"),),
    ),
    Bug(
        "combined_timer_fires_once",
        "of two equal deadlines only the read side's expires",
        "equal_deadlines_fire_together",
        (("desc.c", "    if (combined)\n", "    if (combined && !wakes)\n"),),
    ),
    Bug(
        "expired_bit_after_the_deadline",
        "between the two a look finds neither",
        "expiry_is_seen_by_all",
        (
            (
                "desc.c",
                "    set_info(np_desc_of(s), INFO_EXPIRED(s->mode), 0);\n"
                "    np_store64(&s->deadline, -1);\n    s->seq++;\n",
                "    np_store64(&s->deadline, -1);\n    s->seq++;\n"
                "    set_info(np_desc_of(s), INFO_EXPIRED(s->mode), 0);\n",
            ),
        ),
    ),
    Bug(
        "expiry_not_looked_at_again",
        "a deadline seen to have passed is fired although it was moved meanwhile",
        "a_deadline_moved_while_it_fires",
        (("desc.c", "    if (when > 0 && np_now() >= when)\n", "    if (when > 0)\n"),),
    ),
    Bug(
        "new_deadline_wakes_nobody",
        "a driver sleeps past a deadline that was set meanwhile",
        "a_deadline_reaches_the_waiter",
        (("desc.c", "            cover_deadline(p, when, &wakes);", "            (void)when;"),),
    ),
    Bug(
        "driver_sleeps_past_others_deadlines",
        "a driver waits for its own time only",
        "a_deadline_reaches_a_follower",
        (("thread.c", "until < first ? until : first;", "until;"),),
    ),
    Bug(
        "leader_handover_dropped",
        "the last driver leaves and promotes nobody",
        "two_threads_drive_in_turn",
        (
            (
                "thread.c",
                "        promote(NP_CONTAINER(p->followers.next, np_waiter, link), wakes);",
                "        (void)promote;",
            ),
        ),
    ),
    Bug(
        "signal_without_handover",
        "a driver that is interrupted leaves the followers alone",
        "a_signal_hands_over",
        (
            (
                "thread.c",
                "        rc = withdraw(d, s, rc);\n    else\n        rc = 0;\n    np_hand_over(p, wakes);",
                "        rc = withdraw(d, s, rc);\n    else\n        rc = 0;\n"
                "    if (rc == NP_OK)\n        np_hand_over(p, wakes);",
            ),
        ),
    ),
    Bug(
        "poll_without_handover",
        "a poll that returns leaves the followers alone",
        "a_poll_that_returns_lets_a_thread_lead",
        (("poller.c", "    np_hand_over(p, wakes);\n    return rc ==", "    return rc =="),),
    ),
    Bug(
        "wake_meant_for_another_is_kept",
        "a driver drains the wake object and does not pass on what was another's",
        "a_poll_of_no_time_steals_nothing",
        (("thread.c", "        if (!somebody_else_is_meant(p))\n", "        if (p)\n"),),
    ),
    Bug(
        "wake_flag_cleared_too_early",
        "raised is cleared before the wake object is drained",
        "close_ends_reader_and_writer",
        (
            (
                "thread.c",
                "    if (woken) /* drained: from here on a wake must signal anew */\n"
                "        np_store(&p->raised, 0);\n",
                "",
            ),
            (
                "thread.c",
                "    int n =\n",
                "    np_store(&p->raised, 0);\n    int n =\n",
            ),
        ),
    ),
    Bug(
        "wake_flag_never_cleared",
        "after one wake-up there is no second",
        "a_deadline_reaches_a_follower",
        (("thread.c", "        np_store(&p->raised, 0);", "        (void)p;"),),
    ),
    Bug(
        "pending_after_the_signal",
        "np_wake signals first and says why afterwards",
        "a_poll_of_no_time_steals_nothing",
        (
            (
                "poller.c",
                "    np_store(&p->pending, 1);\n    np_raise(p);",
                "    np_raise(p);\n    np_store(&p->pending, 1);",
            ),
        ),
    ),
    Bug(
        "queued_token_wakes_nobody",
        "a token made ready by another thread does not wake the poll that sleeps",
        "unblock_brings_the_token_out",
        (
            (
                "poller.c",
                "            wakes->raise = NP_CONTAINER(l, np_driver, link)->kicked = true;",
                "            (void)l;",
            ),
        ),
    ),
    Bug(
        "poll_sleeps_on_its_queue",
        "a poll goes to sleep without a look at the ready queue",
        "unblock_brings_the_token_out",
        (("poller.c", "p->ready_first ? 0 : until, wakes);", "until, wakes);"),),
    ),
    Bug(
        "notified_driver_is_left_inside",
        "a thread whose event another one collected is not woken out of the kernel",
        "a_poll_that_returns_lets_a_thread_lead",
        (
            ("thread.c", "    if (w->driver.inside) {", "    if (w->driver.inside && !p_never) {"),
            (
                "thread.c",
                "/* The semaphore has left SEM_THREAD: tell",
                "static const int p_never = 1;\n/* The semaphore has left SEM_THREAD: tell",
            ),
        ),
    ),
    Bug(
        "no_baton",
        "a driver that gets its own outcome leaves as if it were a follower, without a hand-over",
        "two_threads_drive_in_turn",
        (
            (
                "thread.c",
                "    np_store(&w->word, done | WORD_BATON);",
                "    np_store(&w->word, done);",
            ),
            (
                "thread.c",
                "        rc = 0;\n    np_hand_over(p, wakes);",
                "        rc = 0;\n    if (np_load(&w->word) & WORD_BATON)\n        np_hand_over(p, wakes);",
            ),
        ),
    ),
    Bug(
        "parked_without_a_look",
        "the outcome of a follower is told before the follower is unlinked by nobody",
        "two_threads_drive_in_turn",
        (
            (
                "thread.c",
                "        np_list_remove(&w->link);\n        np_store(&w->word, done);",
                "        np_store(&w->word, done);",
            ),
        ),
    ),
    Bug(
        "closed_poller_kicks_nobody",
        "whoever is in the kernel stays there",
        "a_poller_closed_under_all",
        (("poller.c", "        np_kick_all(p, &wakes);\n", ""),),
    ),
    Bug(
        "kernel_object_closed_under_a_waker",
        "np_wake from a signal handler writes to a descriptor that is closed",
        "wake_against_the_closing_poller",
        (("poller.c", "    while (np_load(&p->wakers) > 0)\n        np_yield();\n", ""),),
    ),
    Bug(
        "waker_counted_late",
        "np_raise looks at the state first and is counted afterwards",
        "wake_against_the_closing_poller",
        (
            (
                "poller.c",
                "    np_inc(&p->wakers);\n    if (np_load(&p->state) == STATE_OPEN && np_cas(&p->raised, 0, 1))\n",
                "    bool open = np_load(&p->state) == STATE_OPEN;\n    np_inc(&p->wakers);\n"
                "    if (open && np_cas(&p->raised, 0, 1))\n",
            ),
        ),
    ),
    Bug(
        "closed_hidden_by_a_wake",
        "a poll on a closed poller reports a wake-up instead",
        "wake_against_the_closing_poller",
        (
            (
                "poller.c",
                "    return rc == NP_OK && np_load(&p->state) == STATE_CLOSED ? NP_CLOSED : rc;",
                "    return rc;",
            ),
        ),
    ),
    Bug(
        "outer_loop_not_told_of_tokens",
        "fileno() is not readable when a token is ready",
        "an_outer_loop_misses_no_token",
        (("poller.c", "        p->backend->nest_work(p->kernel, work);", "        (void)work;"),),
    ),
    Bug(
        "outer_loop_not_told_of_deadlines",
        "fileno() is not readable when a deadline is due",
        "an_outer_loop_misses_no_deadline",
        (("poller.c", "        p->backend->nest_timer(p->kernel, when);\n", ""),),
    ),
    Bug(
        "global_lock_kept",
        "the host's global lock is kept while a thread waits",
        "a_global_lock_is_given_back",
        (
            ("thread.c", "    void *cookie = np_blocking_enter();\n", ""),
            ("thread.c", "    np_blocking_leave(cookie);\n", ""),
        ),
    ),
    Bug(
        "forked_waiters_stay",
        "in the child the parent's threads still wait",
        "a_child_goes_on",
        (
            (
                "fork.c",
                "            forget_threads(p->fds.buckets[i]);",
                "            (void)forget_threads;",
            ),
        ),
    ),
    Bug(
        "forked_raised_stays",
        "in the child a wake-up seems to be under way that never comes",
        "wakes_reach_a_childs_threads",
        (("fork.c", "    np_store(&p->raised, 0);\n", ""),),
    ),
    Bug(
        "wake_during_renewal_lost",
        "a wake-up that meets a child's poller half renewed signals nothing, ever",
        "wakes_reach_a_childs_threads",
        (("poller.c", "    wakes->raise = wakes->raise || np_load(&p->pending);\n", ""),),
    ),
    Bug(
        "freed_before_the_last_waiter_left",
        "a closed slot goes back with the first handle that is dropped, under the one of a waiter",
        "the_last_handle_goes_under_a_waiter",
        (
            ("open.c", "refs > 1; refs =", "refs > 9; refs ="),
            (
                "open.c",
                "    if (np_dec(&d->refs) != 1)\n        return false;\n",
                "    np_dec(&d->refs);\n",
            ),
            ("open.c", "    if (np_load(&d->refs) != 0)\n        return false;\n", ""),
        ),
    ),
    Bug(
        "first_look_keeps_anothers_wake",
        "np_poll's look before it gives the host's lock back drains a wake that was a thread's, and sleeps",
        "a_first_look_takes_no_threads_wake",
        (
            (
                "poller.c",
                "        np_hand_over(p, &wakes); /* what the first look drained may have been for another driver */\n",
                "",
            ),
        ),
    ),
    Bug(
        "epoll_hangup_is_the_readers_alone",
        "who waits to write is not told that the peer is gone",
        "a_hangup_is_for_both",
        (("backend_epoll.c", "(EPOLLOUT | EPOLLHUP | EPOLLERR)", "(EPOLLOUT | EPOLLERR)"),),
    ),
    Bug(
        "poll_hangup_is_the_readers_alone",
        "the same, on the poll backend",
        "a_hangup_is_for_both",
        (("backend_poll.c", "(POLLERR | POLLHUP | POLLNVAL)", "(POLLERR | POLLNVAL)"),),
    ),
    Bug(
        "kqueue_eof_is_the_readers_alone",
        "the same, on kqueue, where EV_EOF on the reader's filter may be all that comes",
        "a_hangup_is_for_both",
        (("backend_kqueue.c", "    if (ev->flags & EV_EOF)\n        modes |= NP_WRITE;\n", ""),),
    ),
    Bug(
        "kqueue_believes_its_table",
        "a number that was closed underneath counts as registered",
        "a_number_closed_underneath",
        (
            (
                "backend_kqueue.c",
                "    return still_registered(k, fd);\n}\n\nstatic void remember",
                "    return k->size > (uint32_t)fd;\n}\n\nstatic void remember",
            ),
        ),
    ),
    Bug(
        "kqueue_wake_stays",
        "the user event is not cleared: whoever comes is woken again, for ever",
        "two_threads_drive_in_turn",
        (("backend_kqueue.c", "EVFILT_USER, EV_ADD | EV_CLEAR", "EVFILT_USER, EV_ADD"),),
    ),
    Bug(
        "kqueue_nest_never_looks_again",
        "fileno() stays readable for what is over",
        "an_outer_loop_misses_no_deadline",
        (("backend_kqueue.c", "    nest_look_again(k);\n    return n", "    return n"),),
    ),
    Bug(
        "kqueue_timer_changed_in_place",
        "the nest's timer is taken out and not set anew",
        "an_outer_loop_misses_no_deadline",
        (
            (
                "backend_kqueue.c",
                "    if (when) {\n        change",
                "    if (!when) {\n        change",
            ),
        ),
    ),
    Bug(
        "kqueue_child_closes_a_stranger",
        "a forked child, which has no kqueue, closes the number that it had",
        "a_child_closes_an_unused_poller",
        (
            (
                "backend_kqueue.c",
                "    wake_close(k);\n    if (k->owner == getpid() && k->fd >= 0)",
                "    wake_close(k);\n    if (k->fd >= 0)",
            ),
        ),
    ),
    Bug(
        "closing_state_not_seq_cst",
        "the closed state may stay in the store buffer while the wakers' count is read",
        "wake_against_a_closing_empty_poller",
        (
            (
                "poller.c",
                "np_store(&p->state, STATE_CLOSED);",
                "np_store_weak(&p->state, STATE_CLOSED);",
            ),
        ),
    ),
    Bug(
        "drained_store_not_seq_cst",
        "raised may seem set to a waker while the driver that drained it looks at pending",
        "a_threads_wake_hides_no_other",
        (
            (
                "thread.c",
                "        np_store(&p->raised, 0);",
                "        np_store_weak(&p->raised, 0);",
            ),
        ),
    ),
    Bug(
        "renewed_state_not_seq_cst",
        "a child's poller may seem not renewed to a waker while pending is read",
        "wakes_reach_a_childs_threads",
        (
            (
                "poller.c",
                "    np_store(&p->state, STATE_OPEN);\n    wakes->raise",
                "    np_store_weak(&p->state, STATE_OPEN);\n    wakes->raise",
            ),
        ),
    ),
    Bug(
        "hangup_not_remembered",
        "an event's being the last one is not told to who takes a short read for drained",
        "a_hangup_behind_a_byte",
        (("desc.c", "(event->last ? (uint32_t)INFO_LAST : 0)", "0u"),),
    ),
    Bug(
        "hangup_remembered_late",
        "the reader is woken first, and INFO_LAST set afterwards",
        "a_hangup_that_another_collects",
        (
            ("desc.c", "(event->last ? (uint32_t)INFO_LAST : 0)", "0u"),
            (
                "desc.c",
                "            unblock_locked(np_side_of(d, mode), true, wakes);\n}",
                "            unblock_locked(np_side_of(d, mode), true, wakes);\n"
                "    set_info(d, event->last ? (uint32_t)INFO_LAST : 0, 0);\n}",
            ),
        ),
    ),
    Bug(
        "last_event_not_seen",
        "epoll's hang-up counts as readiness and no more",
        "a_hangup_behind_a_byte",
        (
            (
                "backend_epoll.c",
                "(EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0",
                "(EPOLLPRI)) != 0",
            ),
        ),
    ),
    Bug(
        "user_overtakes_the_queue",
        "who unlocks does not look whether others queue",
        "users_are_served_one_at_a_time",
        (("fdmutex.c", "        if (old & QUEUED(mode))\n            return NP_BUSY;\n", ""),),
    ),
    Bug(
        "queued_behind_nobody",
        "who finds the mode locked queues, though it was unlocked meanwhile",
        "users_are_served_one_at_a_time",
        (("fdmutex.c", "if (old & LOCKED(mode) && !(old & CLOSED) && np_cas(", "if (np_cas("),),
    ),
    Bug(
        "queue_bit_stays",
        "the queue is empty, and whoever unlocks goes on handing over to nobody",
        "users_are_served_one_at_a_time",
        (
            (
                "fdmutex.c",
                "while (!np_cas(word, old, old & ~QUEUED(mode)));",
                "while (!np_cas(word, old, old));",
            ),
        ),
    ),
    Bug(
        "both_modes_one_lock",
        "a reader keeps the writer out",
        "readers_do_not_keep_writers",
        (
            (
                "fdmutex.c",
                "#define LOCKED(mode) ((uint32_t)(mode) << 1)",
                "#define LOCKED(mode) (mode ? 6u : 0u)",
            ),
        ),
    ),
    Bug(
        "number_given_back_under_users",
        "whoever leaves after a close gives the number back, though others are inside",
        "close_twice_under_users",
        (("fdmutex.c", "next & CLOSED && next < REFERENCE ?", "next & CLOSED ?"),),
    ),
    Bug(
        "close_holds_no_reference",
        "the number may go while close still ends the waits",
        "close_ends_users_and_queue",
        (
            (
                "fdmutex.c",
                "np_cas(word, old, (old | CLOSED) + REFERENCE)",
                "np_cas(word, old, old | CLOSED)",
            ),
        ),
    ),
    Bug(
        "users_enter_after_close",
        "the lock does not look whether it is closed",
        "close_twice_under_users",
        (
            (
                "fdmutex.c",
                "            return NP_CLOSED;\n        if (old & LOCKED(mode))",
                "            (void)old;\n        if (old & LOCKED(mode))",
            ),
        ),
    ),
    Bug(
        "bell_drained_unseen",
        "a bell that rang before its thread slept is drained without a look",
        "a_bell_tells_of_a_deadline",
        (
            (
                "alone.c",
                "    void *cookie = np_blocking_enter();\n",
                "    np_wakefd_drain(&b->wake);\n    void *cookie = np_blocking_enter();\n",
            ),
        ),
    ),
    Bug(
        "bell_never_drained",
        "a bell that rang once rings for ever",
        "a_bell_tells_of_a_deadline",
        (("alone.c", "        np_wakefd_drain(&b->wake);\n", ""),),
    ),
    Bug(
        "bell_is_not_waited_for",
        "a thread that waits by itself hears nothing but its descriptor",
        "a_bell_tells_of_a_close",
        (("alone.c", "np_poll_fds(pfds, 2, ", "np_poll_fds(pfds, 1, "),),
    ),
    Bug(
        "bell_of_the_parent",
        "in a forked child a bell stays the parent's, and nobody may ring it",
        "a_childs_bell_rings",
        (
            (
                "alone.c",
                "    np_store(&b->shown.forks, forks);\n    return 1;",
                "    (void)forks;\n    return 0;",
            ),
        ),
    ),
    Bug(
        "alone_timeout_is_early",
        "a thread by itself takes half of its time for the whole",
        "a_bell_tells_of_a_deadline",
        (
            (
                "alone.c",
                "slice.end < until ? slice.length : left_until(until));",
                "left_until(until) / 2);",
            ),
        ),
    ),
    Bug(
        "renewed_bell_not_looked_behind",
        "in a forked child a bell rung while its thread renews it is not heard",
        "a_childs_bell_rings",
        (
            (
                "alone.c",
                "    np_store(&b->shown.forks, forks);\n    return 1;",
                "    np_store(&b->shown.forks, forks);\n    return 0;",
            ),
        ),
    ),
    Bug(
        "follower_sleeps_without_end",
        "a signal that comes just before the main thread follows is handled when it is woken",
        "a_signal_before_a_follower_sleeps_is_handled",
        (("thread.c", "WORD_IDLE, timeout_until(slice->end));", "WORD_IDLE, -1);"),),
    ),
    Bug(
        "driver_sleeps_without_end",
        "the same, when it drives",
        "a_signal_between_two_sleeps_is_handled",
        (("thread.c", "&w->driver, slice->end, wakes)", "&w->driver, INT64_MAX, wakes)"),),
    ),
    Bug(
        "first_sleep_without_end",
        "only later sleeps of the same wait have one, when the main thread drives",
        "a_signal_between_two_sleeps_is_handled",
        (
            (
                "thread.c",
                "    int events = np_drive(p, &w->driver, slice->end, wakes);",
                "    int64_t end = slice->length ? INT64_MAX : slice->end;\n"
                "    int events = np_drive(p, &w->driver, end, wakes);",
            ),
        ),
    ),
    Bug(
        "poll_sleeps_without_end",
        "a signal that comes while np_poll hands out others' events waits for the next one",
        "a_signal_between_two_polls_is_handled",
        (("poller.c", "slice.end < c->until ? slice.end : c->until", "c->until"),),
    ),
    Bug(
        "poll_does_not_send_its_host_to_look",
        "np_poll sleeps again when its slice is over",
        "a_signal_between_two_polls_is_handled",
        (
            (
                "poller.c",
                "            rc = NP_INTERRUPTED;\n    }",
                "            np_yield();\n    }",
            ),
        ),
    ),
    Bug(
        "alone_sleeps_without_end",
        "a signal that comes just before a thread waits by itself is not handled",
        "a_signal_before_a_wait_alone_is_handled",
        (("alone.c", "slice.end < until ? slice.length : left_until(until)", "left_until(until)"),),
    ),
    Bug(
        "iocp_orphan_freed_at_once",
        "a poll that is cancelled is freed before its packet has come",
        "a_stale_packet_reaches_nobody",
        (
            (
                "backend_iocp.c",
                "    return afd_cancel(w->device, &op->poll);\n}\n\n/* A poll's packet",
                "    bool waiting = afd_cancel(w->device, &op->poll);\n    free(op);\n    return waiting;\n"
                "}\n\n/* A poll's packet",
            ),
        ),
    ),
    Bug(
        "iocp_orphan_used_again",
        "a poll that is cancelled is started anew before its packet has come",
        "polls_in_flight_at_a_close",
        (
            (
                "backend_iocp.c",
                "    return afd_cancel(w->device, &op->poll);\n}\n\n/* A poll's packet",
                "    free_operation(k, op);\n    return afd_cancel(w->device, &op->poll);\n"
                "}\n\n/* A poll's packet",
            ),
        ),
    ),
    Bug(
        "iocp_orphan_keeps_its_owner",
        "the packet of a poll that was left behind is given to the watch that is gone",
        "a_stale_packet_reaches_nobody",
        (("backend_iocp.c", "    op->owner = NULL;\n", ""),),
    ),
    Bug(
        "iocp_others_packets_cleared_away",
        "who clears orphans away takes wake-ups and events with them",
        "orphans_are_cleared_away",
        (
            (
                "backend_iocp.c",
                "        else\n            put_back(k, &batch[i]);\n}\n",
                "        else if (batch[i].lpCompletionKey == KEY_OVERLAPPED)\n"
                "            put_back(k, &batch[i]);\n}\n",
            ),
        ),
    ),
    Bug(
        "iocp_number_believed",
        "a number that is registered counts as the same socket, unasked",
        "a_socket_closed_underneath",
        (
            (
                "backend_iocp.c",
                "    return abandon(k, w, PROBE) && start(k, w, PROBE) == 0;",
                "    return abandon(k, w, PROBE) || start(k, w, PROBE) == 0;",
            ),
        ),
    ),
    Bug(
        "iocp_port_not_drained",
        "the port is closed while polls are the kernel's",
        "close_ends_a_wait",
        (
            (
                "backend_iocp.c",
                "    if (drain(k))\n        release(k);",
                "    (void)drain;\n    release(k);",
            ),
        ),
    ),
    Bug(
        "iocp_anothers_poll_dropped",
        "who waits for its operation on a closed poller drops the packets of polls that it meets",
        "a_poller_closed_under_receive_and_poll",
        (
            (
                "backend_iocp.c",
                "        } else if (batch[i].lpCompletionKey == KEY_AFD) {\n",
                "        } else if (batch[i].lpCompletionKey == KEY_AFD && k->users == 1) {\n",
            ),
        ),
    ),
    Bug(
        "iocp_others_do_not_come_in",
        "who waits for its operation on a closed poller takes others' wake-ups round and round",
        "a_poller_closed_under_receive_and_poll",
        (
            (
                "backend_iocp.c",
                "    if (others)\n        np_yield(); /* to them */\n",
                "    (void)others;\n",
            ),
        ),
    ),
    Bug(
        "iocp_port_closed_under_an_operation",
        "the port goes with the poller, though an overlapped operation is to come out of it",
        "a_poller_closed_under_a_receive",
        (
            ("backend_iocp.c", "        k->users++;\n", ""),
            (
                "backend_iocp.c",
                "void np_iocp_release(np_iocp_op *op)\n{\n    release(op->kernel);\n}",
                "void np_iocp_release(np_iocp_op *op)\n{\n    (void)op;\n}",
            ),
        ),
    ),
    Bug(
        "iocp_buffer_given_back_early",
        "np_iocp_finish returns when the operation is cancelled, not when it has ended",
        "a_receive_against_a_deadline",
        (
            (
                "completion_win32.c",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n    while (is_running(op)) {",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n    while (!is_running(op)) {",
            ),
            (
                "completion_win32.c",
                "    while (is_running(op)) {\n        ended = np_wait(op->desc, op->mode);",
                "    for (bool once = is_running(op); once; once = is_running(op) && ended == NP_OK) {\n"
                "        ended = np_wait(op->desc, op->mode);",
            ),
        ),
    ),
    Bug(
        "iocp_nothing_cancelled",
        "a wait that is over leaves its operation running",
        "unblock_ends_a_receive",
        (
            (
                "completion_win32.c",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_mode_stays_taken",
        "an operation that has ended keeps its mode",
        "a_receive_after_a_cancelled_one",
        (("backend_iocp.c", "        w->overlapped &= ~op->mode;\n", "        (void)w;\n"),),
    ),
    Bug(
        "iocp_one_takes_all_interrupts",
        "Ctrl-C ends the wait of one thread, and another sleeps on",
        "ctrl_c_ends_a_wait_and_a_poll",
        (("backend_iocp.c", "taken < k->owed ? taken : k->owed;", "0;"),),
    ),
    Bug(
        "iocp_timer_set_under_its_packet",
        "the timer is set anew while its packet is waiting, or lies in the port",
        "a_deadline_reaches_the_waiter",
        (
            (
                "backend_iocp.c",
                "    if (nt->cancel_packet(k->timer_packet, TRUE) == STATUS_PENDING)\n        return false;\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_timer_kept",
        "who has had the timer never gives it back",
        "fine_deadlines_in_turn",
        (
            (
                "backend_iocp.c",
                "    if (timer)\n        np_store(&k->timer_taken, 0);\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_withdrawn_tells_nobody",
        "who came to wait while an operation had the mode stays, though it never started",
        "a_wait_beside_one_that_does_not_start",
        (
            (
                "completion_win32.c",
                "        np_set_ready(op->desc, op->mode); /* who came to wait meanwhile has not been armed */\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_receive_takes_wakes",
        "who waits for the end of its operation answers an np_wake",
        "a_closed_receive_takes_no_wake",
        (
            (
                "completion_win32.c",
                "    int rc = np_enter(p, &wakes);\n    if (rc == NP_OK)\n        np_drive",
                "    int rc = np_enter(p, &wakes);\n    if (rc == NP_OK && !np_swap(&p->pending, 0))\n        np_drive",
            ),
        ),
    ),
    Bug(
        "futex_does_not_compare",
        "who goes to sleep tells the kernel to expect whatever the word is by then",
        "an_unpark_is_not_lost",
        (
            (
                "park.c",
                "sleep_on(word, expected, timeout);\n        if",
                "sleep_on(word, np_load(word), timeout);\n        if",
            ),
        ),
    ),
    Bug(
        "futex_signal_is_slept_over",
        "a signal that ends the sleep is taken for a wake-up for no reason",
        "a_signal_hands_over",
        (("park.c", "error == EINTR || error == ETIMEDOUT", "error == ETIMEDOUT"),),
    ),
    Bug(
        "futex_time_is_slept_over",
        "when the time is over it begins anew",
        "a_sleep_ends_in_time",
        (("park.c", "error == EINTR || error == ETIMEDOUT", "error == EINTR"),),
    ),
    Bug(
        "condition_without_its_lock",
        "a waker of a condition does not take the bucket's lock",
        "an_unpark_is_not_lost",
        (
            (
                "park.c",
                "    pthread_mutex_lock(&buckets[i].lock);\n    pthread_cond_broadcast(&buckets[i].changed);\n    pthread_mutex_unlock(&buckets[i].lock);\n",
                "    pthread_cond_broadcast(&buckets[i].changed);\n",
            ),
        ),
    ),
    Bug(
        "condition_look_before_the_lock",
        "a sleeper looks at its word before it has the bucket's lock",
        "an_unpark_is_not_lost",
        (
            (
                "park.c",
                "    pthread_mutex_lock(&buckets[i].lock);\n    while (np_load(word) == expected && rc == 0)\n",
                "    bool sleeps = np_load(word) == expected;\n    pthread_mutex_lock(&buckets[i].lock);\n"
                "    for (; sleeps && rc == 0; sleeps = np_load(word) == expected)\n",
            ),
        ),
    ),
    Bug(
        "condition_wakes_one",
        "of those in a bucket only one is woken, and it may be another's",
        "two_sleepers_in_one_bucket",
        (("park.c", "pthread_cond_broadcast(", "pthread_cond_signal("),),
    ),
    Bug(
        "condition_hides_signals",
        "the thread to which signals come sleeps on a condition without an end",
        "a_signal_behind_a_condition",
        (("park.c", "        timeout = SLICE_NS;\n", "        (void)timeout;\n"),),
    ),
    Bug(
        "condition_locks_of_the_parent",
        "a forked child has the buckets' locks as its parent's threads had them",
        "a_child_parks",
        (("park.c", "    pthread_atfork(NULL, NULL, init_buckets);\n", ""),),
    ),
    Bug(
        "srw_without_the_lock",
        "a waker does not take the bucket's lock",
        "an_unpark_is_not_lost",
        (
            (
                "park_win32.c",
                "    AcquireSRWLockExclusive(&buckets[i].lock);\n    for (sleeper *s = buckets[i].first; s; s = s->next)\n"
                "        if (s->word == word)\n            WakeConditionVariable(&s->changed);\n    ReleaseSRWLockExclusive(&buckets[i].lock);\n",
                "    for (sleeper *s = buckets[i].first; s; s = s->next)\n"
                "        if (s->word == word)\n            WakeConditionVariable(&s->changed);\n",
            ),
        ),
    ),
    Bug(
        "srw_look_before_the_lock",
        "a sleeper looks at its word before it has the bucket's lock",
        "an_unpark_is_not_lost",
        (
            (
                "park_win32.c",
                "    AcquireSRWLockExclusive(&buckets[i].lock);\n    me.next",
                "    bool sleeps = np_load(word) == expected;\n    AcquireSRWLockExclusive(&buckets[i].lock);\n    me.next",
            ),
            (
                "park_win32.c",
                "    while (np_load(word) == expected && !me.interrupted) {\n",
                "    for (; sleeps && !me.interrupted; sleeps = np_load(word) == expected) {\n",
            ),
        ),
    ),
    Bug(
        "srw_sleeper_stays_linked",
        "who has left is still in its bucket",
        "an_unpark_may_come_late",
        (
            (
                "park_win32.c",
                "    unlink_sleeper(&buckets[i].first, &me);\n",
                "    (void)unlink_sleeper;\n",
            ),
        ),
    ),
    Bug(
        "srw_only_the_first_is_looked_at",
        "a sleeper that is not the first in its bucket is not found",
        "two_sleepers_in_one_bucket",
        (
            (
                "park_win32.c",
                "    for (sleeper *s = buckets[i].first; s; s = s->next)\n        if",
                "    for (sleeper *s = buckets[i].first; s; s = NULL)\n        if",
            ),
        ),
    ),
    Bug(
        "srw_ctrl_c_wakes_nobody",
        "Ctrl-C is noted for who sleeps, and no more",
        "ctrl_c_ends_a_park",
        (
            (
                "park_win32.c",
                "            s->interrupted = true;\n            WakeConditionVariable(&s->changed);\n",
                "            s->interrupted = true;\n",
            ),
        ),
    ),
    Bug(
        "srw_no_slice_after_ctrl_c",
        "who goes to sleep between Ctrl-C and the host's handler is not sent back to look",
        "ctrl_c_ends_a_park",
        (
            (
                "park_win32.c",
                "            limit = NP_INTERRUPT_SLICE_MS;\n",
                "            (void)limit;\n",
            ),
        ),
    ),
    Bug(
        "srw_time_is_slept_over",
        "when the time is over it begins anew",
        "a_sleep_ends_in_time",
        (
            (
                "park_win32.c",
                "            me.interrupted = true; /* a slice is over: let the host look */\n",
                "            me.interrupted = me.word != word;\n",
            ),
        ),
    ),
    Bug(
        "kqueue_nest_of_the_parent_closed",
        "in a forked child the number of the nest is closed, which is another file's by now",
        "a_child_renews_where_calls_fail",
        (
            (
                "backend_kqueue.c",
                "    if (k->nest_owner == getpid())\n        close(nest);\n",
                "    close(nest);\n",
            ),
        ),
    ),
    Bug(
        "kqueue_nest_made_twice",
        "a nest is made anew when the renewal is repeated, and the last one stays open",
        "a_child_renews_where_calls_fail",
        (
            (
                "backend_kqueue.c",
                "    nest_close(k);\n    int same",
                "    np_wakefd_close(&k->nest_work);\n    int same",
            ),
        ),
    ),
    Bug(
        "kqueue_stays_without_its_wake",
        "where there is no memory for the wake object, the kqueue is left open",
        "a_call_that_fails_leaves_nothing",
        (("backend_kqueue.c", "no_wake:\n    close(k->fd);\n", "no_wake:\n"),),
    ),
    Bug(
        "nest_left_half_open",
        "where one of its parts cannot be had, the others are left open",
        "a_call_that_fails_leaves_nothing",
        (
            (
                "nest.c",
                "    if (rc < 0)\n        np_nest_close(&fresh);\n    else\n",
                "    if (rc == 0)\n",
            ),
        ),
    ),
    Bug(
        "renewed_without_all_descriptors",
        "a descriptor that could not be registered again in a child is passed over",
        "a_child_renews_where_calls_fail",
        (
            (
                "poller.c",
                "        if (p->fds.buckets[i] && (rc = np_register_again(p->fds.buckets[i], wakes)) < 0)\n            return rc;\n",
                "        if (p->fds.buckets[i])\n            np_register_again(p->fds.buckets[i], wakes);\n",
            ),
        ),
    ),
    Bug(
        "slot_lost_with_a_failure",
        "where the kernel refuses a descriptor, its slot is not given back",
        "a_call_that_fails_leaves_nothing",
        (("open.c", "    if (rc < 0) {\n        np_cache_free(d);\n", "    if (rc < 0) {\n"),),
    ),
    Bug(
        "stale_timer_fires_on_the_next_owner",
        "a slot's timers stay current when it is closed and opened again",
        "a_stale_deadline_fires_on_nobody",
        (
            (
                "desc.c",
                "        np_store64(&s->deadline, 0);\n    s->seq++;\n",
                "        np_store64(&s->deadline, 0);\n",
            ),
        ),
    ),
    Bug(
        "resume_takes_anybodys_news",
        "np_resume does not look whether a token is out",
        "a_resume_of_what_is_not_out",
        (
            (
                "desc.c",
                "    if (np_cas(&s->claim, CLAIM_OUT, CLAIM_NONE) && consume(s))",
                "    np_cas(&s->claim, CLAIM_OUT, CLAIM_NONE);\n    if (consume(s))",
            ),
        ),
    ),
    Bug(
        "deadline_fires_early",
        "what is due in 50 ns counts as due",
        "a_poll_that_ends_leaves_deadlines_covered",
        (("timers.c", "    if (np_heap_top(h) > now)\n", "    if (np_heap_top(h) > now + 50)\n"),),
    ),
    Bug(
        "replaced_by_now_unseen",
        "between a deadline's being replaced by one of now and its bit's being set, a look finds neither",
        "a_passed_deadline_replaced_by_now",
        (
            (
                "desc.c",
                "    if (expired) /* the bit first, as in expire_side */\n        set_info(d, expired, 0);\n",
                "",
            ),
        ),
    ),
    Bug(
        "closing_wake_not_passed_on",
        "on a closed poller who drains a wake that was another driver's keeps it",
        "a_poller_closed_under_all",
        (
            (
                "thread.c",
                "            p->backend->wake(p->kernel); /* np_raise does not any more; they keep it alive */\n",
                "            wakes->raise = true;\n",
            ),
        ),
    ),
    Bug(
        "refused_commit_keeps_the_side",
        "a thread that could not park leaves its side in WAIT",
        "two_threads_drive_in_turn",
        (
            (
                "thread.c",
                "        np_block_give_up(s);\n        np_unlock(p, &wakes);",
                "        np_unlock(p, &wakes);",
            ),
        ),
    ),
    Bug(
        "nest_timer_not_set_anew",
        "the nest's timer has gone off, early, and the deadline that was moved later gets none",
        "an_outer_loop_and_a_deadline_moved_later",
        (
            (
                "poller.c",
                "when < p->nest_when)) || gone_off) {",
                "when < p->nest_when))) {\n        (void)gone_off;",
            ),
        ),
    ),
    Bug(
        "listed_after_its_end",
        "a poller that is gone is still in the list of all",
        "poller_and_descriptor_dropped_at_once",
        (("poller.c", "    np_registry_remove(p);\n", ""),),
    ),
    Bug(
        "poller_goes_under_its_descriptor",
        "who drops a descriptor does not hold the poller meanwhile",
        "poller_and_descriptor_dropped_at_once",
        (
            (
                "open.c",
                "    if (!unref_locked(d, &wakes))\n        np_poller_ref(p);\n"
                "    np_unlock(p, &wakes);\n    np_poller_unref(p);\n",
                "    np_unref_locked(d, &wakes);\n    np_unlock(p, &wakes);\n",
            ),
        ),
    ),
    Bug(
        "forked_waiters_stay_in_wait",
        "who was about to park at the fork has the side in the child",
        "a_child_goes_on",
        (("fork.c", "        else\n            np_block_give_up(&d->side[i]);\n", ""),),
    ),
    Bug(
        "poll_copy_is_believed",
        "what a copy reports disarms whoever has the number now",
        "an_event_of_the_slots_next_owner",
        (("backend_poll.c", "    return e->tag == tag ? e : NULL;", "    return tag ? e : NULL;"),),
    ),
    Bug(
        "covered_by_anybody",
        "a new deadline wakes nobody as long as somebody is inside the kernel, however long",
        "a_deadline_reaches_a_follower",
        (
            (
                "desc.c",
                "        if (NP_CONTAINER(l, np_driver, link)->until <= when)\n            return;",
                "        if (NP_CONTAINER(l, np_driver, link)->until <= INT64_MAX)\n            return;",
            ),
        ),
    ),
    Bug(
        "nest_timer_not_moved_forward",
        "the nest's timer, once set, stays though an earlier deadline has come",
        "an_outer_loop_and_an_earlier_deadline",
        (("poller.c", "(!p->nest_when || when < p->nest_when)", "!p->nest_when"),),
    ),
    Bug(
        "forked_nest_is_believed",
        "a child's nest is taken to be set as its parent's was",
        "a_nested_child_has_its_deadlines",
        (
            (
                "poller.c",
                "    p->nest_when = 0; /* the new nest knows nothing; np_unlock tells it */\n    p->nest_work = false;\n",
                "",
            ),
        ),
    ),
    Bug(
        "forked_counts_stay",
        "in the child the parent's threads are counted as parked",
        "a_child_goes_on",
        (
            (
                "fork.c",
                "np_store(&p->parked[mode - 1], tokens_parked(p, mode));",
                "(void)tokens_parked;",
            ),
        ),
    ),
)
