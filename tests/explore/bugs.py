# ruff: noqa: E501  (the core's lines are quoted as they stand)
"""Bugs to plant, one at a time: each undoes one safeguard of the core.

A check that cannot fail proves nothing.  `Bug.plant` applies one to a copy of csrc/, and
`make explore` fails unless every one is caught.  A text that is not found exactly once
is an error, so the list cannot fall behind the core unnoticed.

Most bugs fail the check of a scenario.  Some are caught earlier, by an assertion of the core
(csrc/sys/assert.h), and the explorer prints which; without assertions (--no-assertions) a scenario
catches them too.  Those marked `asserted` do harm that no scenario sees: only an assertion catches
them, and --no-assertions proves that.
"""

from __future__ import annotations

from bug import CSRC, Bug
from sema_bugs import SEMA_BUGS

__all__ = ["BUGS", "CSRC", "Bug"]

BUGS = (
    Bug(
        "readiness_hides_a_close",
        "a thread that was told of an event before the close says so after it",
        "a_thread_that_was_ready_is_closed",
        (
            (
                "desc.c",
                "            return np_load(&d->info) & (flags & NP_IO_ONLY ? INFO_DEREGISTERED : "
                "INFO_CLOSING)\n                       ? NP_CLOSED\n                       : NP_OK;\n"
                "        /* Not ready",
                "            return NP_OK;\n        /* Not ready",
            ),
        ),
    ),
    Bug(
        "publish_after_unblock",
        "close unblocks the waiters first and sets the closing bit afterwards",
        "unblock_ends_a_wait",
        (
            ("desc.c", "    set_info(d, info, 0);\n    for (int i", "    for (int i"),
            (
                "desc.c",
                "        np_unblock_locked(&d->side[i], false, wake_q);\n    }\n",
                "        np_unblock_locked(&d->side[i], false, wake_q);\n    }\n    set_info(d, info, 0);\n",
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
            (
                "desc.c",
                "    store_if_changed(&d->info, (np_load",
                "    np_store_weak(&d->info, (np_load",
            ),
            ("desc.c", "    set_info(d, info, 0);\n    for (int i", "    for (int i"),
            (
                "desc.c",
                "        np_unblock_locked(&d->side[i], false, wake_q);\n    }\n",
                "        set_info(d, info, 0);\n"
                "        np_unblock_locked(&d->side[i], false, wake_q);\n    }\n",
            ),
        ),
    ),
    Bug(
        "expiring_store_not_seq_cst",
        "the expired bit may stay in the store buffer while the semaphore is read",
        "a_deadline_of_now_reaches_the_waiter",
        (
            (
                "desc.c",
                "    store_if_changed(&d->info, (np_load",
                "    np_store_weak(&d->info, (np_load",
            ),
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
                "np_sem_cas(s, SEM_WAIT_READY, SEM_READY);",
                "np_cas(&s->sem, SEM_WAIT_READY, SEM_NIL);",
            ),
        ),
    ),
    Bug(
        "driver_is_not_kicked_for_what_was_armed",
        "a poll of no time drains the wake after which a driver would know what was armed",
        "a_poll_of_no_time_beside_a_new_waiter",
        (
            (
                "desc.c",
                "        if (rc > 0)\n            np_kick_all(p, &wake_q);\n",
                "        wake_q.wake_driver = rc > 0;\n",
            ),
        ),
    ),
    Bug(
        "armed_before_wait",
        "a level-triggered descriptor is armed before its side is taken",
        "a_second_waiter_is_refused",
        (
            (
                "desc.c",
                "    if (d->poller->backend->arm)\n        rc = arm(d, s->entry.mode);\n",
                "",
            ),
            (
                "desc.c",
                "        if (np_sem_cas(s, SEM_NIL, SEM_WAIT))\n",
                "        if (d->poller->backend->arm)\n            arm(d, s->entry.mode);\n"
                "        if (np_sem_cas(s, SEM_NIL, SEM_WAIT))\n",
            ),
        ),
    ),
    Bug(
        "arming_wakes_nobody",
        "who sleeps in poll(2) is not told that more is armed",
        "the_followers_event_comes_first",
        (("desc.c", "        if (rc > 0)\n            np_kick_all(p, &wake_q);\n", ""),),
    ),
    Bug(
        "thread_and_token_share_a_place",
        "a thread that parks overwrites a token on its way",
        "a_thread_parks_while_a_token_is_queued",
        (
            (
                "internal.h",
                "    np_thread_waiter *thread;\n    np_entry entry;",
                "    union {\n        np_thread_waiter *thread;\n        np_entry entry;\n    };",
            ),
        ),
    ),
    Bug(
        "delivery_marked_late",
        "the side is free before its token is marked as queued",
        "a_token_parks_while_one_is_queued",
        (
            (
                "desc.c",
                "            np_store_release(&s->delivery, DELIVERY_QUEUED);\n        }",
                "        }",
            ),
            (
                "poller.c",
                "    np_ready_push(&p->ready, r);",
                "    if (s)\n"
                "        np_store(&s->delivery, DELIVERY_QUEUED);\n"
                "    np_ready_push(&p->ready, r);",
            ),
        ),
    ),
    Bug(
        "delivery_not_checked",
        "a token parks while the last one of its side is still in the queue",
        "a_token_beside_one_on_its_way",
        (
            (
                "desc.c",
                "if (delivery == DELIVERY_QUEUED || delivery == DELIVERY_DROPPED)",
                "if (delivery > 99)",
            ),
        ),
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
        "reset_drops_a_tokens_readiness",
        "reset takes the notification that a token on its way is to report",
        "reset_spares_the_news",
        (
            (
                "desc.c",
                "    if (rc == NP_OK)\n        np_side_reset(s);",
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
                "np_sem_cas(s, SEM_READY_TOKEN, SEM_READY);",
                "np_cas(&s->sem, SEM_READY_TOKEN, SEM_NIL);",
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
                "        if (only && *only != s->entry.token)\n            return false;\n        np_desc_of",
                "        (void)only;\n        np_desc_of",
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
        "queue_does_not_keep_the_slot",
        "the slot goes back while its token is in the ready queue",
        "the_last_handle_goes_with_a_token_queued",
        (
            ("open.c", "    if (!is_unused(d))\n        return false;\n", ""),
            ("poller.c", "    np_unqueued_locked(np_desc_of(s));\n", ""),
        ),
    ),
    Bug(
        "one_queue_place_of_two_is_seen",
        "the slot goes with the reader's token while the writer's is in the ready queue",
        "the_last_handle_goes_with_two_tokens_queued",
        (
            (
                "open.c",
                "    return !is_queued(&d->side[0]) && !is_queued(&d->side[1]);",
                "    return !is_queued(&d->side[0]);",
            ),
        ),
    ),
    Bug(
        "slot_left_by_its_last_token",
        "the token that kept a slot without handles comes out, and nothing frees the slot",
        "the_last_handle_goes_with_a_token_queued",
        (("poller.c", "    np_unqueued_locked(np_desc_of(s));\n", ""),),
    ),
    Bug(
        "last_reference_not_looked_at_again",
        "the last handle goes, an event queues the token, and the slot is freed all the same",
        "the_last_handle_goes_under_an_event",
        (("open.c", "    if (!is_unused(d))\n        return false;\n", ""),),
    ),
    Bug(
        "last_reference_dropped_without_the_lock",
        "between the count's coming to 0 and the lock an event queues the token, and takes the slot along",
        "the_last_handle_goes_under_an_event",
        (
            ("open.c", "    if (np_dec(&d->refs) != 1)\n        return false;\n", ""),
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
                "    if (!unref_locked(d, &wake_q))\n        np_poller_ref(p);\n"
                "    np_unlock(p, &wake_q);\n    np_poller_unref(p);\n",
                "    bool last = unref_locked(d, &wake_q);\n"
                "    np_unlock(p, &wake_q);\n    if (last)\n        np_poller_unref(p);\n",
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
                "        close_locked(old, wake_q);\n    }\n}",
                "    }\n}",
            ),
        ),
    ),
    Bug(
        "no_seq_check",
        "a timer that comes to the top fires though its deadline was moved",
        "a_deadline_moved_while_it_fires",
        (("timers.c", "        if (t->timer_seq == t->seq)\n", "        if (t)\n"),),
    ),
    Bug(
        "equal_deadlines_take_two_timers",
        "of two equal deadlines the write side has a timer, too",
        "equal_deadlines_fire_together",
        (
            (
                "timers.c",
                "        np_load64(&np_side_of(np_desc_of(s), NP_READ)->deadline) == when)\n"
                "        return 0;\n",
                "        np_load64(&np_side_of(np_desc_of(s), NP_READ)->deadline) == when)\n"
                "        return when;\n",
            ),
        ),
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
        (("desc.c", "    if (combined)\n", "    if (combined && !wake_q)\n"),),
    ),
    Bug(
        "expired_bit_after_the_deadline",
        "between the two a look finds neither",
        "expiry_is_seen_by_all",
        (
            (
                "desc.c",
                "    set_info(np_desc_of(s), INFO_EXPIRED(s->entry.mode), 0);\n"
                "    np_store64(&s->deadline, -1);\n    s->entry.seq++;\n",
                "    np_store64(&s->deadline, -1);\n    s->entry.seq++;\n"
                "    set_info(np_desc_of(s), INFO_EXPIRED(s->entry.mode), 0);\n",
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
        (
            (
                "desc.c",
                "            np_kick_for_deadline(p, when, &wake_q);",
                "            (void)when;",
            ),
        ),
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
                "        promote(NP_CONTAINER(p->followers.next, np_thread_waiter, link), wake_q);",
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
                "        rc = withdraw(d, s, rc);\n    else\n        rc = 0;\n    np_hand_over(p, wake_q);",
                "        rc = withdraw(d, s, rc);\n    else\n        rc = 0;\n"
                "    if (rc == NP_OK)\n        np_hand_over(p, wake_q);",
            ),
        ),
    ),
    Bug(
        "poll_without_handover",
        "a poll that returns leaves the followers alone",
        "a_poll_that_returns_lets_a_thread_lead",
        (("poller.c", "    np_hand_over(p, wake_q);\n    return rc ==", "    return rc =="),),
    ),
    Bug(
        "wake_meant_for_another_is_kept",
        "a driver drains the wake object and does not pass on what was another's",
        "a_poll_of_no_time_steals_nothing",
        (("thread.c", "        if (!other_driver_needs_wake(p))\n", "        if (p)\n"),),
    ),
    Bug(
        "wake_flag_cleared_too_early",
        "signalled is cleared before the wake object is drained",
        "close_ends_reader_and_writer",
        (
            (
                "thread.c",
                "    if (batch->woken) /* drained: from here on a wake must signal anew */\n"
                "        np_store(&p->signalled, 0);\n",
                "",
            ),
            (
                "thread.c",
                "    batch->woken = false;\n",
                "    batch->woken = false;\n    np_store(&p->signalled, 0);\n",
            ),
        ),
    ),
    Bug(
        "wake_flag_never_cleared",
        "after one wake-up there is no second",
        "a_deadline_reaches_a_follower",
        (("thread.c", "        np_store(&p->signalled, 0);", "        (void)p;"),),
    ),
    Bug(
        "pending_after_the_signal",
        "np_wake signals first and says why afterwards",
        "a_poll_of_no_time_steals_nothing",
        (
            (
                "poller.c",
                "    np_store(&p->pending, 1);\n    np_wake_driver(p);",
                "    np_wake_driver(p);\n    np_store(&p->pending, 1);",
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
                "    np_ready_push(&p->ready, r);\n    np_kick_polls(p, wake_q);\n",
                "    np_ready_push(&p->ready, r);\n",
            ),
        ),
    ),
    Bug(
        "poll_sleeps_on_its_queue",
        "a poll goes to sleep without a look at the ready queue",
        "unblock_brings_the_token_out",
        (("poller.c", "    if (p->ready.first)\n        until = 0;\n", ""),),
    ),
    Bug(
        "notified_driver_is_left_inside",
        "a thread whose event another one collected is not woken out of the kernel",
        "a_poll_that_returns_lets_a_thread_lead",
        (
            ("thread.c", "    if (w->driver.inside) {", "    if (w->driver.inside && !p_never) {"),
            (
                "thread.c",
                "/* The semaphore has left SEM_THREAD: notify",
                "static const int p_never = 1;\n/* The semaphore has left SEM_THREAD: notify",
            ),
        ),
    ),
    Bug(
        "must_hand_over_dropped",
        "a driver that gets its own outcome leaves as if it were a follower, without a hand-over",
        "two_threads_drive_in_turn",
        (
            (
                "thread.c",
                "    np_store(&w->word, done | WORD_MUST_HAND_OVER);",
                "    np_store(&w->word, done);",
            ),
            (
                "thread.c",
                "        rc = 0;\n    np_hand_over(p, wake_q);",
                "        rc = 0;\n    if (np_load(&w->word) & WORD_MUST_HAND_OVER)\n        np_hand_over(p, wake_q);",
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
        (("poller.c", "        np_kick_all(p, &wake_q);\n", ""),),
    ),
    Bug(
        "kernel_object_closed_under_a_waker",
        "np_wake from a signal handler writes to a descriptor that is closed",
        "wake_against_the_closing_poller",
        (("poller.c", "    while (np_load(&p->signallers) > 0)\n        np_yield();\n", ""),),
    ),
    Bug(
        "waker_counted_late",
        "np_wake_driver looks at the state first and is counted afterwards",
        "wake_against_the_closing_poller",
        (
            (
                "poller.c",
                "    np_inc(&p->signallers);\n    if (np_load(&p->state) == STATE_OPEN && np_cas(&p->signalled, 0, 1))\n",
                "    bool open = np_load(&p->state) == STATE_OPEN;\n    np_inc(&p->signallers);\n"
                "    if (open && np_cas(&p->signalled, 0, 1))\n",
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
        "a_child_nests_its_parents_poller",
        "in a forked child fileno() is that of the parent's kernel object",
        "a_nested_child_has_its_events",
        (
            (
                "epoll.c",
                "    if (rc == 0)\n        rc = np_nest_renew(&k->nest, k->fd);\n",
                "",
            ),
        ),
    ),
    Bug(
        "outer_loop_not_told_of_tokens",
        "fileno() is not readable when a token is ready",
        "an_outer_loop_misses_no_token",
        (("nesting.c", "    p->backend->nest_work(p->kernel, work);", "    (void)work;"),),
    ),
    Bug(
        "outer_loop_not_told_of_deadlines",
        "fileno() is not readable when a deadline is due",
        "an_outer_loop_misses_no_deadline",
        (("nesting.c", "        p->backend->nest_timer(p->kernel, when);\n", ""),),
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
                "            drop_threads(p->fds.buckets[i]);",
                "            (void)drop_threads;",
            ),
        ),
    ),
    Bug(
        "forked_signalled_stays",
        "in the child a wake-up seems to be under way that never comes",
        "wakes_reach_a_childs_threads",
        (("fork.c", "    np_store(&p->signalled, 0);\n", ""),),
    ),
    Bug(
        "wake_during_renewal_lost",
        "a wake-up that meets a child's poller half renewed signals nothing, ever",
        "wakes_reach_a_childs_threads",
        (
            (
                "poller.c",
                "    wake_q->wake_driver = wake_q->wake_driver || np_load(&p->pending);\n",
                "",
            ),
        ),
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
            ("open.c", "    if (!is_unused(d))\n        return false;\n", ""),
        ),
    ),
    Bug(
        "first_look_keeps_anothers_wake",
        "np_poll's look before it gives the host's lock back drains a wake that was a thread's, and sleeps",
        "a_first_look_takes_no_threads_wake",
        (
            (
                "poller.c",
                "        np_hand_over(p, &wake_q); /* what was drained may have been for another driver */\n",
                "",
            ),
        ),
    ),
    Bug(
        "epoll_hangup_is_the_readers_alone",
        "who waits to write is not told that the peer is gone",
        "a_hangup_is_for_both",
        (("epoll.c", "(EPOLLOUT | EPOLLHUP | EPOLLERR)", "(EPOLLOUT | EPOLLERR)"),),
    ),
    Bug(
        "poll_hangup_is_the_readers_alone",
        "the same, on the poll backend",
        "a_hangup_is_for_both",
        (("poll.c", "(POLLERR | POLLHUP | POLLNVAL)", "(POLLERR | POLLNVAL)"),),
    ),
    Bug(
        "kqueue_eof_is_the_readers_alone",
        "the same, on kqueue, where EV_EOF on the reader's filter may be all that comes",
        "a_hangup_is_for_both",
        (("kqueue.c", "    if (ev->flags & EV_EOF)\n        modes |= NP_WRITE;\n", ""),),
    ),
    Bug(
        "kqueue_believes_its_table",
        "a number that was closed underneath counts as registered",
        "a_number_closed_underneath",
        (
            (
                "kqueue.c",
                "    return np_kq_is_registered(k, fd);\n",
                "    return k->size > (uint32_t)fd;\n",
            ),
        ),
    ),
    Bug(
        "kqueue_wake_stays",
        "the user event is not cleared: every poll from then on is woken",
        "two_threads_drive_in_turn",
        (("kqueue_wake.c", "EVFILT_USER, EV_ADD | EV_CLEAR", "EVFILT_USER, EV_ADD"),),
    ),
    Bug(
        "kqueue_nest_never_refreshed",
        "fileno() stays readable for what is over",
        "an_outer_loop_misses_no_deadline",
        (("kqueue.c", "    np_kq_nest_refresh(k);\n    return n", "    return n"),),
    ),
    Bug(
        "kqueue_timer_changed_in_place",
        "the nest's timer is deleted and not set anew",
        "an_outer_loop_misses_no_deadline",
        (
            (
                "kqueue_nest.c",
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
                "kqueue.c",
                "    np_kq_wake_close(k);\n    if (k->owner == getpid() && k->fd >= 0)",
                "    np_kq_wake_close(k);\n    if (k->fd >= 0)",
            ),
        ),
    ),
    Bug(
        "closing_state_not_seq_cst",
        "the closed state may stay in the store buffer while the signallers' count is read",
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
        "signalled may seem set to np_wake while the driver that drained it checks pending",
        "a_threads_wake_hides_no_other",
        (
            (
                "thread.c",
                "        np_store(&p->signalled, 0);",
                "        np_store_weak(&p->signalled, 0);",
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
                "    np_store(&p->state, STATE_OPEN);\n    wake_q->wake_driver",
                "    np_store_weak(&p->state, STATE_OPEN);\n    wake_q->wake_driver",
            ),
        ),
    ),
    Bug(
        "hangup_not_remembered",
        "an event's being the last one is not told to who takes a short read for drained",
        "a_hangup_behind_a_byte",
        (("desc.c", "(event->no_more_edges ? (uint32_t)INFO_NO_MORE_EDGES : 0)", "0u"),),
    ),
    Bug(
        "hangup_remembered_late",
        "the reader is woken first, and INFO_NO_MORE_EDGES set afterwards",
        "a_hangup_that_another_collects",
        (
            ("desc.c", "(event->no_more_edges ? (uint32_t)INFO_NO_MORE_EDGES : 0)", "0u"),
            (
                "desc.c",
                "            np_unblock_locked(np_side_of(d, mode), true, wake_q);\n}",
                "            np_unblock_locked(np_side_of(d, mode), true, wake_q);\n"
                "    set_info(d, event->no_more_edges ? (uint32_t)INFO_NO_MORE_EDGES : 0, 0);\n}",
            ),
        ),
    ),
    Bug(
        "last_event_not_seen",
        "epoll's hang-up counts as readiness and no more",
        "a_hangup_behind_a_byte",
        (
            (
                "epoll.c",
                "(EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0",
                "(EPOLLPRI)) != 0",
            ),
        ),
    ),
    Bug(
        "number_closed_under_users",
        "the number is closed when one mode is free",
        "close_twice_under_users",
        (
            (
                "file.c",
                "    return (now & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH;",
                "    return (now & FILE_RETIRED_BOTH) != 0;",
            ),
        ),
    ),
    Bug(
        "number_closed_twice",
        "the closer and the operation that leaves both retire the mode",
        "a_number_that_is_free_is_not_closed_again",
        (
            (
                "file.c",
                "if (np_sema_take(&np_half_of(f, mode)->turn) != NP_OK)",
                "if (np_sema_count(&np_half_of(f, mode)->turn) == 0)",
            ),
        ),
    ),
    Bug(
        "number_never_closed",
        "the operation that leaves last does not check whether the file is closed",
        "close_ends_users_and_queue",
        (
            (
                "op.c",
                "return np_sema_is_shut(&h->turn) ? np_file_retire(op->file, op->mode) : NP_OK;",
                "return NP_OK;",
            ),
        ),
    ),
    Bug(
        "shut_seen_too_early",
        "the operation that leaves checks for a close before it releases the turn",
        "a_number_that_is_free_is_not_closed_again",
        (
            (
                "op.c",
                "    np_sema_hand_over(&h->turn, &h->holder);\n    return np_sema_is_shut(&h->turn) ?",
                "    int shut = np_sema_is_shut(&h->turn);\n    np_sema_hand_over(&h->turn, &h->holder);\n    return shut ?",
            ),
        ),
    ),
    Bug(
        "detached_number_closed",
        "the last to leave closes a number that is another's",
        "detach_ends_users_and_leaves_the_number",
        (
            (
                "file.c",
                "    int rc = np_load(&f->state) & FILE_DETACHED ? NP_OK : close",
                "    int rc = close",
            ),
        ),
    ),
    Bug(
        "two_closers",
        "each of two calls of close thinks that it is the first",
        "close_twice_under_users",
        (
            (
                "file.c",
                "    if (!np_cas(&f->state, 0, bits))\n        return NP_CLOSED;\n",
                "    if (np_file_closed(f))\n        return NP_CLOSED;\n    set_state(f, bits);\n",
            ),
        ),
    ),
    Bug(
        "close_leaves_tokens",
        "tokens that wait for readiness are not ended",
        "close_ends_tokens_inside_and_queued",
        (("file.c", "            np_close(f->half[i].desc);\n", "            (void)0;\n"),),
    ),
    Bug(
        "close_wakes_no_thread",
        "threads that wait for readiness are not woken",
        "close_ends_users_and_queue",
        (("file.c", "        wake_half(&f->half[i]);\n", ""),),
    ),
    Bug(
        "close_leaves_the_queue",
        "those that queue are served one after the other",
        "close_ends_users_and_queue",
        (("file.c", "        np_sema_shut(&np_half_of(f, mode)->turn);\n", ""),),
    ),
    Bug(
        "registered_after_close",
        "a token that registers while the file is closed is not ended",
        "close_ends_tokens_inside_and_queued",
        (
            (
                "op.c",
                "        if (np_file_closed(f))            /* before it could see the descriptor */\n            np_close(d);\n",
                "",
            ),
        ),
    ),
    Bug(
        "waker_published_late",
        "a thread checks for a close and a retry before others can wake it",
        "close_ends_users_and_queue",
        (
            (
                "op.c",
                "    set_waker(f, op->mode, waker);\n    if (!np",
                "    bool waits = !np_file_closed(f) && !(mode && take_retry(h));\n    set_waker(f, op->mode, waker);\n    if (!np",
            ),
            (
                "op.c",
                "    if (!np_file_closed(f) && !(mode && take_retry(h))) {",
                "    if (waits) {",
            ),
        ),
    ),
    Bug(
        "deadline_read_early",
        "a thread reads its deadline before others can wake it",
        "a_deadline_moved_under_a_thread",
        (
            (
                "op.c",
                "    set_waker(f, op->mode, waker);\n    if (!np",
                "    int64_t limit = np_earlier(op->limit, np_load64(&h->deadline));\n    set_waker(f, op->mode, waker);\n    if (!np",
            ),
            (
                "op.c",
                "        int64_t limit = np_earlier(op->limit, np_load64(&h->deadline));\n        rc =",
                "        rc =",
            ),
        ),
    ),
    Bug(
        "waker_stays",
        "a thread's waker is woken after its wait, and after its end",
        "a_deadline_moved_beside_an_event",
        (("op.c", "    set_waker(f, op->mode, NULL);\n", ""),),
    ),
    Bug(
        "waker_used_unlocked",
        "a thread may end between the load of its waker and the wake",
        "a_deadline_moved_beside_an_event",
        (
            (
                "file.c",
                "    np_file_lock(f);\n    wake_half(h);\n    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind",
                "    np_half seen = *h;\n    wake_half(&seen);\n    np_file_lock(f);\n    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind",
            ),
            (
                "file.c",
                "    if (h->waker)\n        np_waker_wake(h->waker);",
                "    np_waker *w = h->waker;\n    np_yield();\n    if (w)\n        np_waker_wake(w);",
            ),
        ),
    ),
    Bug(
        "deadline_wakes_no_thread",
        "a thread that waits does not learn that its deadline was moved",
        "a_deadline_moved_under_a_thread",
        (
            (
                "file.c",
                "    np_file_lock(f);\n    wake_half(h);\n    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind",
                "    np_file_lock(f);\n    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind",
            ),
        ),
    ),
    Bug(
        "deadline_bound_if_parked",
        "a token that is about to park misses that its deadline was moved",
        "a_deadline_moved_under_a_token",
        (
            (
                "file.c",
                "    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind",
                "    if (h->desc && np_is_parked(h->desc, mode) && np_file_bind",
            ),
        ),
    ),
    Bug(
        "deadline_bound_first",
        "the descriptor's deadline is set before the file's is stored",
        "a_deadline_moved_under_a_token",
        (
            (
                "file.c",
                "            np_store64(&np_half_of(f, mode)->deadline, when);\n            notify(f, mode);\n",
                "            notify(f, mode);\n            np_store64(&np_half_of(f, mode)->deadline, when);\n",
            ),
        ),
    ),
    Bug(
        "token_not_bound",
        "the limits do not reach the descriptor that a token parks at",
        "a_tokens_timeout",
        (
            (
                "op.c",
                "    return *again ? NP_OK : bind_limits(op->file, op->mode);",
                "    return NP_OK;",
            ),
        ),
    ),
    Bug(
        "limit_not_published",
        "a token's timeout does not reach its descriptor",
        "a_tokens_timeout",
        (
            (
                "op.c",
                "    if (np_load64(&h->limit) != op->limit)\n        np_store64(&h->limit, op->limit);",
                "    (void)h;",
            ),
        ),
    ),
    Bug(
        "limit_stays",
        "the timeout of one operation binds the next",
        "a_timeout_that_was_met",
        (("op.c", "    if (np_load64(&h->limit) != op->limit)", "    if (op->limit != NP_NEVER)"),),
    ),
    Bug(
        "limit_starts_again",
        "the timeout is counted anew from each wait",
        "a_thread_that_is_always_ready",
        (("op.c", "    if (op->limited == LIMIT_KNOWN)\n        return;\n", ""),),
    ),
    Bug(
        "bound_of_another_descriptor",
        "what the last hub's descriptor was bound to is taken for the next one's",
        "a_deadline_at_the_next_hub",
        (
            (
                "op.c",
                "        np_store64(&h->bound, INT64_MIN); /* not known: it may have been ours before */\n",
                "",
            ),
        ),
    ),
    Bug(
        "queue_without_timeout",
        "the timeout does not bind one that queues",
        "a_timeout_in_the_queue",
        (("op.c", "np_sema_acquire(&h->turn, op->limit,", "np_sema_acquire(&h->turn, NP_NEVER,"),),
    ),
    Bug(
        "place_not_kept",
        "a thread that ran a signal handler queues at the end",
        "a_signal_keeps_the_place_in_the_queue",
        (("op.c", "turn_name(op), &op->place)", "turn_name(op), NULL)"),),
    ),
    Bug(
        "retry_without_mark",
        "an operation that is about to wait misses it",
        "a_retry_under_a_thread",
        (("file.c", "    np_store(&h->retry, 1);\n", ""),),
    ),
    Bug(
        "retry_marked_late",
        "the mark comes after the wake",
        "a_retry_under_a_thread",
        (
            (
                "file.c",
                "    np_store(&h->retry, 1);\n    np_file_lock(f);\n    if (h->desc)\n        np_set_ready(h->desc, mode);\n    wake_half(h);\n    np_file_unlock(f);\n",
                "    np_file_lock(f);\n    if (h->desc)\n        np_set_ready(h->desc, mode);\n    wake_half(h);\n    np_file_unlock(f);\n    np_store(&h->retry, 1);\n",
            ),
        ),
    ),
    Bug(
        "retry_wakes_no_thread",
        "a thread that waits does not try again",
        "a_retry_under_a_thread",
        (
            (
                "file.c",
                "    wake_half(h);\n    np_file_unlock(f);\n}\n\n/* --- what a file is",
                "    np_file_unlock(f);\n}\n\n/* --- what a file is",
            ),
        ),
    ),
    Bug(
        "retry_wakes_no_token",
        "a token that waits does not try again",
        "a_retry_under_a_token",
        (
            (
                "file.c",
                "        np_set_ready(h->desc, mode);\n    wake_half(h);",
                "        (void)mode;\n    wake_half(h);",
            ),
        ),
    ),
    Bug(
        "retry_taken_before_registering",
        "a token's operation checks for a retry before others can reach it",
        "a_retry_under_a_token",
        (
            (
                "op.c",
                "    int rc = is_home(h, p) ? NP_OK : register_for",
                "    *again = take_retry(h);\n    int rc = is_home(h, p) ? NP_OK : register_for",
            ),
            ("op.c", "    *again = take_retry(h);\n    return *again", "    return *again"),
        ),
    ),
    Bug(
        "retry_taken_by_a_pause",
        "the wait that follows a pause knows nothing of it",
        "a_retry_under_a_pause",
        (("op.c", "(mode && take_retry(h))", "take_retry(h)"),),
    ),
    Bug(
        "parts_without_a_timeout",
        "the timeout is counted from the first wait only",
        "an_operation_in_parts",
        (
            (
                "op.c",
                "    if (op->limited == LIMIT_UNKNOWN)\n        op->limited = LIMIT_DUE;",
                "   ",
            ),
        ),
    ),
    Bug(
        "pause_hides_signals",
        "a token that pauses gives its host no chance to check for signals",
        "a_token_that_is_always_ready",
        (
            (
                "op.c",
                "turn_outcome(op, rc) : pause_outcome(op)",
                "turn_outcome(op, rc) : np_op_check(op)",
            ),
        ),
    ),
    Bug(
        "pause_past_the_deadline",
        "the pause of a token knows the timeout only",
        "a_deadline_in_a_pause",
        (("op.c", 'np_earlier(until, limit), "pause"', 'np_earlier(until, op->limit), "pause"'),),
    ),
    Bug(
        "interrupted_past_the_limit",
        "a wait that a signal ends does not check its limits",
        "a_signal_at_the_limit",
        (
            (
                "op.c",
                "    return end == NP_OK && rc == NP_INTERRUPTED ?",
                "    return rc == NP_INTERRUPTED ?",
            ),
        ),
    ),
    Bug(
        "drained_stays",
        "a wait that found readiness does not lead to an attempt",
        "a_byte_behind_a_short_read",
        (
            (
                "op.c",
                "    np_half_of(op->file, op->mode)->drained = false;\n    if (rc < 0)",
                "    if (rc < 0)",
            ),
        ),
    ),
    Bug(
        "drained_in_spite_of_a_hangup",
        "a short read counts as drained, though no edge may come",
        "a_hangup_behind_a_byte",
        (("op.c", " && !(h->desc && !np_short_io_means_drained(h->desc))", ""),),
    ),
    Bug(
        "the_end_counts_as_drained",
        "a read after the end waits first",
        "a_hangup_behind_a_byte",
        (("op.c", " && (n > 0 || op->mode == NP_WRITE)", ""),),
    ),
    Bug(
        "drained_for_those_that_may_not_wait",
        "an operation that may not wait is not even tried",
        "one_that_may_not_wait",
        (("op.c", "h->drained && op->may_wait &&", "h->drained &&"),),
    ),
    Bug(
        "queued_though_it_may_not_wait",
        "an operation that may not wait is queued",
        "one_that_may_not_wait",
        (("op.c", "rc != NP_AGAIN || !may_wait", "rc != NP_AGAIN"),),
    ),
    Bug(
        "readiness_not_forgotten",
        "an event from before an attempt ends the wait after it",
        "an_attempt_forgets_what_came_before",
        (
            (
                "op.c",
                "        np_side_reset(np_side_of(h->desc, op->mode)); /* the attempt will tell the rest */",
                "        (void)0;",
            ),
        ),
    ),
    Bug(
        "never_pauses",
        "a kernel that says ready for ever keeps the operation busy for ever",
        "a_thread_that_is_always_ready",
        (
            (
                "op.c",
                "    if (++op->vain % VAIN_WAITS != 0)",
                "    if (++op->vain % VAIN_WAITS != 0 || op->vain > 0)",
            ),
        ),
    ),
    Bug(
        "pause_beyond_the_timeout",
        "a token pauses on though its time is over",
        "a_token_that_is_always_ready",
        (
            (
                "op.c",
                'np_earlier(until, limit), "pause");\n    if',
                'until, "pause");\n    (void)limit;\n    if',
            ),
        ),
    ),
    Bug(
        "pause_without_signals",
        "a thread that pauses does not let its host check for signals",
        "a_thread_that_is_always_ready",
        (
            (
                "op.c",
                "(op, 0, until);\n    return rc == NP_OK ? pause_outcome(op) : rc;",
                "(op, 0, until);\n    return rc;",
            ),
        ),
    ),
    Bug(
        "progress_counts_as_vain",
        "an operation that gets on pauses all the same",
        "a_thread_that_gets_on",
        (("op.c", "    op->vain = 0;\n", ""),),
    ),
    Bug(
        "killed_with_the_turn",
        "a token that was granted the turn and is killed keeps it",
        "a_kill_beside_a_turn",
        (
            (
                "op.c",
                "    if (state == OP_PARKED_TURN && result == NP_OK)\n        enter(op); /* np_op_end hands the turn on */\n",
                "",
            ),
        ),
    ),
    Bug(
        "killed_and_still_in_the_ready_queue",
        "a token whose event has come is not taken out",
        "a_kill_of_one_that_is_ready",
        (
            (
                "op.c",
                "return np_withdraw(op->desc, op->mode, &token);",
                "return np_cancel(op->desc, op->mode, &token);",
            ),
        ),
    ),
    Bug(
        "resumed_before_it_is_out",
        "a token that is still parked is taken for resumed",
        "an_attempt_forgets_what_came_before",
        (
            (
                "op.c",
                "    if (np_side_holds_token(np_side_of(op->desc, op->mode)))\n        return NP_AGAIN;\n",
                "",
            ),
        ),
    ),
    Bug(
        "poller_closed_is_file_closed",
        "an operation ends because its poller was closed",
        "a_poller_closed_under_a_token",
        (
            (
                "op.c",
                "return rc == NP_CLOSED ? NP_NO_POLLER : rc;\n}\n\n/* If the",
                "return rc;\n}\n\n/* If the",
            ),
        ),
    ),
    Bug(
        "poller_closed_under_queue_is_file_closed",
        "the same for one that queues",
        "a_poller_closed_under_the_queue",
        (
            (
                "op.c",
                "        return np_file_closed(op->file) ? NP_CLOSED : NP_NO_POLLER;",
                "        return NP_CLOSED;",
            ),
        ),
    ),
    Bug(
        "closed_descriptor_serves",
        "a descriptor of a closed poller is parked at again",
        "a_poller_closed_under_a_token",
        (("op.c", "    return is_open(h->desc) && (h->desc", "    return h->desc && (h->desc"),),
    ),
    Bug(
        "closed_descriptor_shared",
        "a mode takes the other's, of a poller that is closed",
        "a_poller_closed_under_both_modes",
        (("op.c", "    return is_open(d) && d->poller == p;", "    return d && d->poller == p;"),),
    ),
    Bug(
        "modes_register_twice",
        "the second mode at a poller finds the number registered",
        "two_modes_share_a_descriptor",
        (("op.c", "    if (serves(other, p)) {", "    if (serves(other, p) && mode == 0) {"),),
    ),
    Bug(
        "descriptor_kept",
        "a mode that moves to another poller leaks the last one's descriptor",
        "a_file_in_two_hubs_and_a_thread",
        (("op.c", "    if (old)\n        np_desc_unref(old);\n", "    (void)old;\n"),),
    ),
    Bug(
        "child_keeps_the_turn",
        "in a forked child nothing releases what a gone thread had",
        "a_child_has_the_turn",
        (
            (
                "file.c",
                "    hand_over_for_gone(f, NP_READ);\n    hand_over_for_gone(f, NP_WRITE);\n",
                "",
            ),
        ),
    ),
    Bug(
        "child_takes_what_is_its_own",
        "in a forked child an operation of the thread that forked loses the turn",
        "a_childs_token_inside_goes_on",
        (("file.c", "h->holder == np_thread_id() ||\n", "false ||\n"),),
    ),
    Bug(
        "holder_not_stored",
        "the thread that has the turn is not known after a fork",
        "a_childs_token_inside_goes_on",
        (
            (
                "op.c",
                "    np_store_plain(&np_half_of(op->file, op->mode)->holder, np_thread_id());\n",
                "",
            ),
        ),
    ),
    Bug(
        "holder_not_cleared",
        "the thread that had the turn last is taken for the one that has it",
        "a_child_has_the_turn",
        (("sema.c", "{\n    np_store_plain(holder, 0);\n", "{\n"),),
    ),
    Bug(
        "holder_unknown_is_nobody",
        "a thread that had just taken the turn, or was about to release it, keeps it in the child",
        "a_child_has_the_turn",
        (
            (
                "file.c",
                "h->holder == np_thread_id() ||\n",
                "h->holder == 0 || h->holder == np_thread_id() ||\n",
            ),
        ),
    ),
    Bug(
        "holder_not_handed_over",
        "the child's token was granted the turn, and loses it",
        "a_childs_token_gets_the_turn",
        (
            (
                "sema.c",
                "            np_store_plain(g->holder, w->thread);\n",
                "            (void)0;\n",
            ),
        ),
    ),
    Bug(
        "gone_tokens_queue",
        "the turn is handed to a token of a hub that is gone",
        "a_childs_token_gets_the_turn",
        (
            (
                "sema.c",
                "        if (!w->is_thread && w->thread == np_thread_id())",
                "        if (!w->is_thread)",
            ),
        ),
    ),
    Bug(
        "gone_token_keeps_the_side",
        "a token of a hub that is gone stays parked at the descriptor",
        "a_child_has_the_turn_of_a_hub",
        (
            (
                "file.c",
                "    if (h->desc)\n        np_withdraw(h->desc, mode, &token);\n",
                "    (void)token;\n",
            ),
        ),
    ),
    Bug(
        "gone_waker_stays",
        "the child wakes the waker of a thread that is gone",
        "a_childs_token_inside_goes_on",
        (("file.c", "    h->waker = NULL;\n", ""),),
    ),
    Bug(
        "gone_waker_leaks",
        "the wakers of threads that are gone stay open in the child",
        "a_childs_token_inside_goes_on",
        (("wait_fd.c", "    w->next = *gone;\n    *gone = w;\n", "    (void)gone;\n"),),
    ),
    Bug(
        "child_leaves_a_close_half_done",
        "what a gone thread had begun to close stays half closed",
        "a_fork_in_the_middle_of_a_close",
        (("file.c", "    if (finish_closing(f) && !", "    if (false && !"),),
    ),
    Bug(
        "child_closes_again",
        "the child gives back the turn of a mode that was retired, and closes the number again",
        "a_fork_in_the_middle_of_a_close",
        (
            (
                "file.c",
                "h->holder == np_thread_id() ||\n        np_load(&f->state) & FILE_RETIRED(mode))",
                "h->holder == np_thread_id())",
            ),
        ),
    ),
    Bug(
        "child_resets_the_upper_layer_first",
        "a layer uses those below before their locks are free",
        "a_childs_token_gets_the_turn",
        (
            (
                "fork.c",
                "    reset_layers_in_child(highest->next);\n    highest->child();\n",
                "    highest->child();\n    reset_layers_in_child(highest->next);\n",
            ),
        ),
    ),
    Bug(
        "waker_drained_unseen",
        "a wake that came before its thread slept is drained unseen",
        "a_deadline_moved_under_a_thread",
        (
            (
                "wait_fd.c",
                "    publish(&w->waiter, fd, mode, until);\n",
                "    np_wakefd_drain(&w->wake);\n    publish(&w->waiter, fd, mode, until);\n",
            ),
        ),
    ),
    Bug(
        "waker_never_drained",
        "a waker that was woken once stays readable",
        "a_deadline_moved_under_a_thread",
        (("wait_fd.c", "        np_wakefd_drain(&w->wake);\n", ""),),
    ),
    Bug(
        "waker_is_not_polled",
        "np_wait_fd polls nothing but its descriptor",
        "close_ends_users_and_queue",
        (("wait_fd.c", "np_poll_wakefd(&w->wake, pfds, 2,", "np_poll_fds(pfds + 1, 1,"),),
    ),
    Bug(
        "waker_of_the_parent",
        "in a forked child a waker stays the parent's, and no wake reaches it",
        "a_childs_waker_wakes",
        (
            (
                "wait_fd.c",
                "    np_store(&w->waiter.generation, generation);\n    return 1;",
                "    (void)generation;\n    return 0;",
            ),
        ),
    ),
    Bug(
        "fd_timeout_is_early",
        "np_wait_fd takes half of its time for the whole",
        "a_deadline_moved_under_a_thread",
        (
            (
                "wait_fd.c",
                "slice.end < until ? slice.length : np_time_left(until));",
                "np_time_left(until) / 2);",
            ),
        ),
    ),
    Bug(
        "renewed_waker_not_checked",
        "in a forked child a wake that comes while the thread renews its waker is lost",
        "a_childs_waker_wakes",
        (
            (
                "wait_fd.c",
                "    np_store(&w->waiter.generation, generation);\n    return 1;",
                "    np_store(&w->waiter.generation, generation);\n    return 0;",
            ),
        ),
    ),
    Bug(
        "follower_sleeps_without_end",
        "a signal that comes just before the main thread follows is handled when it is woken",
        "a_signal_before_a_follower_sleeps_is_handled",
        (("thread.c", "WORD_IDLE, np_time_left(slice->end));", "WORD_IDLE, -1);"),),
    ),
    Bug(
        "driver_sleeps_without_end",
        "the same, when it drives",
        "a_signal_between_two_sleeps_is_handled",
        (("thread.c", "&w->driver, slice->end, wake_q)", "&w->driver, INT64_MAX, wake_q)"),),
    ),
    Bug(
        "first_sleep_without_end",
        "only later sleeps of the same wait have one, when the main thread drives",
        "a_signal_between_two_sleeps_is_handled",
        (
            (
                "thread.c",
                "    int events = np_drive(p, &w->driver, slice->end, wake_q);",
                "    int64_t end = slice->length ? INT64_MAX : slice->end;\n"
                "    int events = np_drive(p, &w->driver, end, wake_q);",
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
        "fd_wait_sleeps_without_end",
        "a signal that comes just before np_wait_fd sleeps is not handled",
        "a_signal_before_np_wait_fd_is_handled",
        (
            (
                "wait_fd.c",
                "slice.end < until ? slice.length : np_time_left(until)",
                "np_time_left(until)",
            ),
        ),
    ),
    Bug(
        "iocp_orphan_freed_at_once",
        "a poll that is cancelled is freed before its packet has come",
        "a_stale_packet_reaches_nobody",
        (
            (
                "iocp_watch.c",
                "    return np_afd_cancel(w->device, &op->poll);\n",
                "    bool waiting = np_afd_cancel(w->device, &op->poll);\n    free(op);\n    return waiting;\n",
            ),
        ),
    ),
    Bug(
        "iocp_orphan_used_again",
        "a poll that is cancelled is started anew before its packet has come",
        "polls_in_flight_at_a_close",
        (
            (
                "iocp_watch.c",
                "    return np_afd_cancel(w->device, &op->poll);\n",
                "    free_poll(k, op);\n    return np_afd_cancel(w->device, &op->poll);\n",
            ),
        ),
    ),
    Bug(
        "iocp_orphan_keeps_its_owner",
        "the packet of an orphan goes to its watch, which is gone",
        "a_stale_packet_reaches_nobody",
        (("iocp_watch.c", "    op->owner = NULL;\n", ""),),
    ),
    Bug(
        "iocp_others_packets_reaped",
        "reaping orphans takes wake-ups and events with them",
        "orphans_are_cleared_away",
        (
            (
                "iocp_watch.c",
                "        else\n            np_iocp_repost(k, &batch[i]);\n}\n",
                "        else if (batch[i].lpCompletionKey == NP_IOCP_KEY_OVERLAPPED)\n"
                "            np_iocp_repost(k, &batch[i]);\n}\n",
            ),
        ),
    ),
    Bug(
        "iocp_number_believed",
        "a registered number counts as the same socket without a probe",
        "a_socket_closed_underneath",
        (
            (
                "iocp_watch.c",
                "orphan_poll(k, w, NP_IOCP_PROBE) && start_poll",
                "orphan_poll(k, w, NP_IOCP_PROBE) || start_poll",
            ),
        ),
    ),
    Bug(
        "iocp_port_not_drained",
        "the port is closed while the kernel has polls",
        "close_ends_a_wait",
        (
            (
                "iocp.c",
                "    if (drain_port(k))\n        np_iocp_unref(k);",
                "    (void)drain_port;\n    np_iocp_unref(k);",
            ),
        ),
    ),
    Bug(
        "iocp_anothers_poll_dropped",
        "a wait for an operation on a closed poller drops the packets of polls that it takes",
        "a_poller_closed_under_receive_and_poll",
        (
            (
                "iocp.c",
                "        } else if (batch[i].lpCompletionKey == NP_IOCP_KEY_AFD) {\n",
                "        } else if (batch[i].lpCompletionKey == NP_IOCP_KEY_AFD && k->refs == 1) {\n",
            ),
        ),
    ),
    Bug(
        "iocp_others_do_not_come_in",
        "a wait for an operation on a closed poller takes others' wake-ups again and again",
        "a_poller_closed_under_receive_and_poll",
        (
            (
                "iocp.c",
                "    if (reposted)\n        np_yield(); /* to those that they are for */\n",
                "    (void)reposted;\n",
            ),
        ),
    ),
    Bug(
        "iocp_port_closed_under_an_operation",
        "the port goes with the poller, though an overlapped operation is to come out of it",
        "a_poller_closed_under_a_receive",
        (
            ("iocp_overlapped.c", "        k->refs++;\n", ""),
            ("iocp_overlapped.c", "    np_iocp_unref(op->kernel);\n", "    (void)op;\n"),
        ),
    ),
    Bug(
        "iocp_buffer_released_early",
        "np_iocp_finish returns when the operation is cancelled, not when it has ended",
        "a_receive_against_a_deadline",
        (
            (
                "completion.c",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n    while (is_running(op)) {",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n    while (!is_running(op)) {",
            ),
            (
                "completion.c",
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
                "completion.c",
                "    CancelIoEx((HANDLE)op->desc->fd, &op->overlapped);\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_mode_stays_taken",
        "an operation that has ended keeps its mode",
        "a_receive_after_a_cancelled_one",
        (("iocp_overlapped.c", "        w->overlapped &= ~op->mode;\n", "        (void)w;\n"),),
    ),
    Bug(
        "iocp_one_takes_all_interrupts",
        "Ctrl-C ends the wait of one thread, and another sleeps on",
        "ctrl_c_ends_a_wait_and_a_poll",
        (
            (
                "iocp_interrupt.c",
                "packets < k->interrupts_due ? packets : k->interrupts_due;",
                "0;",
            ),
        ),
    ),
    Bug(
        "iocp_timer_set_under_its_packet",
        "the timer is set anew while its packet waits for it, or is in the port",
        "a_deadline_reaches_the_waiter",
        (
            (
                "iocp_timer.c",
                "    if (nt->cancel_packet(k->timer_packet, TRUE) == STATUS_PENDING)\n        return false;\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_timer_kept",
        "a thread that had the timer keeps it",
        "fine_deadlines_in_turn",
        (
            (
                "iocp.c",
                "    if (timer)\n        np_store(&k->timer_in_use, 0);\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_withdrawn_wakes_no_waiter",
        "a waiter that came while an operation had the mode sleeps on, though the operation never started",
        "a_wait_beside_one_that_does_not_start",
        (
            (
                "completion.c",
                "        np_set_ready(op->desc, op->mode); /* a waiter that came meanwhile was not armed */\n",
                "",
            ),
        ),
    ),
    Bug(
        "iocp_receive_takes_wakes",
        "a wait for the end of an operation consumes an np_wake",
        "a_closed_receive_takes_no_wake",
        (
            (
                "completion.c",
                "    int rc = np_ensure_kernel(p, &wake_q);\n    if (rc == NP_OK)\n        np_drive",
                "    int rc = np_ensure_kernel(p, &wake_q);\n    if (rc == NP_OK && !np_swap(&p->pending, 0))\n        np_drive",
            ),
        ),
    ),
    Bug(
        "futex_does_not_compare",
        "who goes to sleep tells the kernel to expect whatever the word is by then",
        "a_wake_is_not_lost",
        (
            (
                "futex.c",
                "sleep_on(word, expected, timeout);\n        if",
                "sleep_on(word, np_load(word), timeout);\n        if",
            ),
        ),
    ),
    Bug(
        "futex_signal_is_slept_over",
        "a signal that ends the sleep is taken for a wake-up for no reason",
        "a_signal_hands_over",
        (("futex.c", "error == EINTR || error == ETIMEDOUT", "error == ETIMEDOUT"),),
    ),
    Bug(
        "futex_time_is_slept_over",
        "when the time is over it begins anew",
        "a_sleep_ends_in_time",
        (("futex.c", "error == EINTR || error == ETIMEDOUT", "error == EINTR"),),
    ),
    Bug(
        "condition_without_its_lock",
        "a waker of a condition does not take the bucket's lock",
        "a_wake_is_not_lost",
        (
            (
                "futex.c",
                "    pthread_mutex_lock(&buckets[i].lock);\n    pthread_cond_broadcast(&buckets[i].changed);\n    pthread_mutex_unlock(&buckets[i].lock);\n",
                "    pthread_cond_broadcast(&buckets[i].changed);\n",
            ),
        ),
    ),
    Bug(
        "condition_look_before_the_lock",
        "a sleeper looks at its word before it has the bucket's lock",
        "a_wake_is_not_lost",
        (
            (
                "futex.c",
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
        (("futex.c", "pthread_cond_broadcast(", "pthread_cond_signal("),),
    ),
    Bug(
        "condition_hides_signals",
        "the thread to which signals come sleeps on a condition without an end",
        "a_signal_behind_a_condition",
        (("futex.c", "        timeout = SLICE_NS;\n", "        (void)timeout;\n"),),
    ),
    Bug(
        "condition_locks_of_the_parent",
        "a forked child has the buckets' locks as its parent's threads had them",
        "a_child_parks",
        (("futex.c", "    pthread_atfork(NULL, NULL, init_buckets);\n", ""),),
    ),
    Bug(
        "srw_without_the_lock",
        "a waker does not take the bucket's lock",
        "a_wake_is_not_lost",
        (
            (
                "futex_win32.c",
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
        "a_wake_is_not_lost",
        (
            (
                "futex_win32.c",
                "    AcquireSRWLockExclusive(&buckets[i].lock);\n    me.next",
                "    bool sleeps = np_load(word) == expected;\n    AcquireSRWLockExclusive(&buckets[i].lock);\n    me.next",
            ),
            (
                "futex_win32.c",
                "    while (np_load(word) == expected && !me.interrupted) {\n",
                "    for (; sleeps && !me.interrupted; sleeps = np_load(word) == expected) {\n",
            ),
        ),
    ),
    Bug(
        "srw_sleeper_stays_linked",
        "who has left is still in its bucket",
        "a_wake_may_come_late",
        (
            (
                "futex_win32.c",
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
                "futex_win32.c",
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
                "futex_win32.c",
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
                "futex_win32.c",
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
                "futex_win32.c",
                "            me.interrupted = true; /* a slice is over: let the host check */\n",
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
                "kqueue_nest.c",
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
                "kqueue_nest.c",
                "    np_kq_nest_close(k);\n    int same",
                "    np_wakefd_close(&k->nest_work);\n    int same",
            ),
        ),
    ),
    Bug(
        "epoll_renewed_by_half_stays_open",
        "an epoll that could not have its wake object is not known when the renewal is repeated",
        "a_child_renews_where_calls_fail",
        (
            (
                "epoll.c",
                "        close_both(k); /* the next try would not know them */\n",
                "        rc = rc;\n",
            ),
        ),
    ),
    Bug(
        "kqueue_stays_without_its_wake",
        "where there is no memory for the wake object, the kqueue is left open",
        "a_call_that_fails_leaves_nothing",
        (("kqueue.c", "no_wake:\n    close(k->fd);\n", "no_wake:\n"),),
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
                "        if (p->fds.buckets[i] && (rc = np_register_again(p->fds.buckets[i], wake_q)) < 0)\n            return rc;\n",
                "        if (p->fds.buckets[i])\n            np_register_again(p->fds.buckets[i], wake_q);\n",
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
                "        np_store64(&s->deadline, 0);\n    s->entry.seq++;\n",
                "        np_store64(&s->deadline, 0);\n",
            ),
        ),
    ),
    Bug(
        "resume_takes_anothers_notification",
        "np_resume does not look whether a token is out",
        "a_resume_of_what_is_not_out",
        (
            (
                "desc.c",
                "    if (np_delivery_cas(s, DELIVERY_OUT, DELIVERY_NONE) && consume(s))",
                "    np_delivery_cas(s, DELIVERY_OUT, DELIVERY_NONE);\n    if (consume(s))",
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
                "            p->backend->wake(p->kernel); /* np_wake_driver does not any more; they keep it alive */\n",
                "            wake_q->wake_driver = true;\n",
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
                "        np_block_abort(s);\n        np_unlock(p, &wake_q);",
                "        np_unlock(p, &wake_q);",
            ),
        ),
    ),
    Bug(
        "nest_timer_not_set_anew",
        "the nest's timer has gone off, early, and the deadline that was moved later gets none",
        "an_outer_loop_and_a_deadline_moved_later",
        (
            (
                "nesting.c",
                "when < p->nest_when)) || timer_expired) {",
                "when < p->nest_when))) {\n        (void)timer_expired;",
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
                "    if (!unref_locked(d, &wake_q))\n        np_poller_ref(p);\n"
                "    np_unlock(p, &wake_q);\n    np_poller_unref(p);\n",
                "    if (unref_locked(d, &wake_q))\n        np_dec(&p->refs);\n    np_unlock(p, &wake_q);\n",
            ),
        ),
    ),
    Bug(
        "forked_waiters_stay_in_wait",
        "who was about to park at the fork has the side in the child",
        "a_child_goes_on",
        (("fork.c", "        else\n            np_block_abort(&d->side[i]);\n", ""),),
    ),
    Bug(
        "poll_copy_is_believed",
        "what a copy reports disarms whoever has the number now",
        "an_event_of_the_slots_next_owner",
        (("poll.c", "    return e->tag == tag ? e : NULL;", "    return tag ? e : NULL;"),),
    ),
    Bug(
        "covered_by_anybody",
        "a new deadline wakes nobody as long as somebody is inside the kernel, however long",
        "a_deadline_reaches_a_follower",
        (
            (
                "thread.c",
                "        if (NP_CONTAINER(l, np_driver, link)->until <= when)\n            return;",
                "        if (NP_CONTAINER(l, np_driver, link)->until <= INT64_MAX)\n            return;",
            ),
        ),
    ),
    Bug(
        "nest_timer_not_moved_forward",
        "the nest's timer, once set, stays though an earlier deadline has come",
        "an_outer_loop_and_an_earlier_deadline",
        (("nesting.c", "(!p->nest_when || when < p->nest_when)", "!p->nest_when"),),
    ),
    Bug(
        "forked_nest_is_believed",
        "a child's nest is taken to be set as its parent's was",
        "a_nested_child_has_its_deadlines",
        (
            (
                "poller.c",
                "    p->nest_when = 0; /* the new nest is empty; np_unlock sets it */\n    p->nest_work = false;\n",
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
    # --- what only assertions catch ---------------------------------------------------------------
    Bug(
        "driver_never_leaves",
        "a driver that came back still counts as inside, and its next wake is wasted",
        "two_threads_drive_in_turn",
        (("thread.c", "    driver->inside = false;\n", ""),),
        asserted=True,
    ),
    Bug(
        "timer_position_stays",
        "an entry that is pushed down the heap keeps its old position",
        "a_deadline_reaches_a_follower",
        (
            (
                "timers.c",
                "        place(h, pos, h->entries[parent]);",
                "        h->entries[pos] = h->entries[parent];",
            ),
        ),
        asserted=True,
    ),
    Bug(
        "table_count_stays",
        "a number that leaves the table is still counted, and the table grows for ever",
        "an_event_ends_a_wait",
        (("fdtab.c", "    t->count--;\n", ""),),
        asserted=True,
    ),
    Bug(
        "foreign_token_wakes_nobody",
        "home is not woken for a token that another driver of its poller made ready",
        "a_thread_drives_a_foreign_token",
        (
            (
                "foreign.c",
                "        np_inc(&f->home->foreign_work);\n        np_wake_driver(f->home);\n",
                "        np_inc(&f->home->foreign_work);\n",
            ),
        ),
    ),
    Bug(
        "foreign_token_counted_late",
        "home is woken first, and finds no reason to come round",
        "a_thread_drives_a_foreign_token",
        (
            (
                "foreign.c",
                "        np_inc(&f->home->foreign_work);\n        np_wake_driver(f->home);\n",
                "        np_wake_driver(f->home);\n        np_inc(&f->home->foreign_work);\n",
            ),
        ),
    ),
    Bug(
        "home_sleeps_on_ready_tokens",
        "np_poll does not look for tokens that are ready elsewhere before it sleeps",
        "a_thread_drives_a_foreign_token",
        (("foreign_poll.c", "    if (np_load(&home->foreign_work))\n        until = 0;\n", ""),),
    ),
    Bug(
        "wake_for_a_foreign_token_is_kept",
        "a thread of home drains the wake for a foreign token, and does not pass it on",
        "a_thread_at_home_drains_the_wake",
        (
            (
                "thread.c",
                " || np_load(&p->foreign_work))))\n            return true;",
                ")))\n            return true;",
            ),
        ),
    ),
    Bug(
        "new_foreign_poller_is_not_announced",
        "an np_poll that sleeps does not get to know another poller",
        "a_token_is_parked_while_home_sleeps",
        (
            (
                "foreign.c",
                "    np_list_append(&home->foreign, &f->link);\n    np_kick_polls(home, wake_q);\n",
                "    np_list_append(&home->foreign, &f->link);\n    (void)wake_q;\n",
            ),
        ),
    ),
    Bug(
        "home_sleeps_as_no_driver",
        "home sleeps on another poller's kernel object without being one of its drivers",
        "a_foreign_poller_is_closed",
        (
            (
                "foreign_poll.c",
                "        if (rc == NP_OK)\n            np_drive_enter(",
                "        if (rc == NP_OK && until == 0)\n            np_drive_enter(",
            ),
        ),
    ),
    Bug(
        "home_strands_a_follower",
        "home leaves another poller and promotes none of its followers",
        "a_hub_that_leaves_lets_a_thread_lead",
        (("foreign_poll.c", "        np_hand_over(f->poller, &wake_q);\n", ""),),
    ),
    Bug(
        "home_takes_the_others_wakes",
        "home answers the np_wake of a poller that it only drives",
        "a_wake_of_the_foreign_poller",
        (
            (
                "foreign_poll.c",
                "        np_hand_over(f->poller, &wake_q);\n",
                "        np_store(&f->poller->pending, 0);\n        np_hand_over(f->poller, &wake_q);\n",
            ),
        ),
    ),
    Bug(
        "home_is_promoted_and_sleeps_on",
        "a driver that leaves promotes home, and does not wake it",
        "a_thread_drives_a_foreign_token",
        (
            (
                "thread.c",
                "    np_inc(&w->home->foreign_work);\n    np_wake_driver(w->home);\n",
                "    np_inc(&w->home->foreign_work);\n",
            ),
        ),
    ),
    Bug(
        "promotion_is_no_reason",
        "the wake for a promoted home may be drained by another, who does not pass it on",
        "a_thread_at_home_drains_a_promotion",
        (
            (
                "thread.c",
                "    np_inc(&w->home->foreign_work);\n    np_wake_driver(w->home);\n",
                "    np_wake_driver(w->home);\n",
            ),
            ("foreign_poll.c", "        np_dec(&g->foreign->home->foreign_work);\n", ""),
        ),
    ),
    Bug(
        "foreign_deadlines_are_slept_over",
        "home sleeps until its own first deadline",
        "a_deadline_ends_a_foreign_wait",
        (
            (
                "foreign_poll.c",
                "        if (g->waiter.driver.inside && g->waiter.driver.until < until)",
                "        if (i == all->count && g->waiter.driver.until < until)",
            ),
        ),
    ),
    Bug(
        "foreign_side_keeps_its_home",
        "a token that was withdrawn leaves its home behind, for the next one",
        "a_foreign_token_is_withdrawn",
        (
            (
                "foreign.c",
                "    s->foreign = NULL;\n    np_dec(&f->tokens);\n    return home;",
                "    np_dec(&f->tokens);\n    return home;",
            ),
        ),
    ),
    Bug(
        "foreign_token_uncounted_late",
        "the side is free before its token has left: the next one's home is taken for its own",
        "a_foreign_token_is_replaced",
        (
            (
                "desc.c",
                "        *home = leave_home(s);\n        np_store(&s->sem, SEM_NIL);\n",
                "        np_store(&s->sem, SEM_NIL);\n"
                "        np_load(&s->sem); /* others may come in between */\n"
                "        *home = leave_home(s);\n",
            ),
        ),
    ),
    Bug(
        "foreign_token_holds_no_home",
        "a foreign token has no reference to its home",
        "home_goes_with_a_foreign_token",
        (
            ("foreign.c", "    np_inc(&f->home->refs);\n", "    (void)f->home;\n"),
            (
                "foreign.c",
                "    np_dec(&np_foreign_leave(s)->refs);\n    return NP_AGAIN;",
                "    np_foreign_leave(s);\n    return NP_AGAIN;",
            ),
            (
                "poller.c",
                "        np_dec(&np_foreign_leave(s)->refs);",
                "        np_foreign_leave(s);",
            ),
            (
                "foreign.c",
                "    np_foreign_forget(home);\n    np_poller_unref(home);",
                "    np_foreign_forget(home);",
            ),
        ),
    ),
    Bug(
        "last_foreign_token_is_not_noticed",
        "home keeps the other poller when its last token there has gone",
        "the_last_foreign_token_goes",
        (
            (
                "foreign.c",
                "    np_foreign_forget(home);\n    np_poller_unref(home);",
                "    np_poller_unref(home);",
            ),
        ),
    ),
    Bug(
        "foreign_goes_under_a_call",
        "what a call has in use is freed with its last token",
        "the_last_foreign_token_goes",
        (("foreign.c", "        if (f->calls > 0) {", "        if (f->calls > UINT32_MAX / 2) {"),),
    ),
    Bug(
        "home_lets_go_when_it_likes",
        "a call that sleeps on a poller without tokens of its own is not told",
        "the_last_foreign_token_goes_for_good",
        (
            (
                "foreign.c",
                "            np_kick_polls(home, wake_q);\n            continue;\n",
                "            continue;\n",
            ),
        ),
    ),
    Bug(
        "closed_home_keeps_its_tokens",
        "a token at another poller stays there when its home is closed",
        "home_is_closed",
        (
            (
                "foreign.c",
                "    if (np_poller_closed(f->home))\n        end_waits(f, &wake_q);\n",
                "",
            ),
        ),
    ),
    Bug(
        "closed_home_takes_tokens",
        "a token parks at a home that is closed",
        "home_is_closed",
        (("foreign.c", "    if (np_load(&home->state) != STATE_CLOSED) {", "    {"),),
    ),
    Bug(
        "closed_home_drops_what_it_fetched",
        "np_poll finds home closed, and drops the foreign tokens that it has",
        "home_is_closed_beside_an_event",
        (("poller.c", " == STATE_CLOSED && c->out.n == 0)", " == STATE_CLOSED)"),),
    ),
    Bug(
        "foreign_park_in_two_steps",
        "a fork finds a token counted that is not parked, or closing home misses it",
        "fork_while_a_foreign_token_parks",
        (
            (
                "foreign.c",
                "    np_inc(&f->home->refs);\n    if (np_commit",
                "    np_inc(&f->home->refs);\n    np_mutex_unlock(&f->home->lock);\n    np_mutex_lock(&f->home->lock);\n    if (np_commit",
            ),
        ),
    ),
    Bug(
        "child_waits_for_calls_that_are_gone",
        "in a child home keeps what calls of the parent had in use",
        "fork_while_home_sleeps_on_two_pollers",
        (("foreign.c", "        f->calls = 0;\n", ""),),
    ),
    Bug(
        "foreign_tokens_take_all_the_room",
        "home's own tokens stay while foreign ones are ready",
        "tokens_of_two_pollers_that_are_always_ready",
        (("foreign_poll.c", "home->foreign_turn++ % 2 ? out->max : out->max / 2", "out->max"),),
    ),
    Bug(
        "the_first_foreign_poller_always_comes_first",
        "tokens of the others stay while its are ready",
        "tokens_of_two_foreign_pollers_that_are_always_ready",
        (("foreign_poll.c", "home->foreign_turn / 2 % all->count", "0"),),
    ),
    Bug(
        "naps_with_a_token_in_hand",
        "a poll that has a foreign token waits a moment for more",
        "a_foreign_token_that_is_ready_is_not_slept_over",
        (
            (
                "foreign_poll.c",
                "events < 0 || out->n > 0 || np_load(&home->foreign_work)",
                "events < 0 || np_load(&home->foreign_work)",
            ),
        ),
    ),
    Bug(
        "loop_around_home_is_not_told",
        "a foreign token that is ready does not make home's fileno readable",
        "a_loop_around_home",
        (
            (
                "nesting.c",
                "    bool work = p->ready.first || np_load(&p->foreign_work);",
                "    bool work = p->ready.first;",
            ),
        ),
    ),
    Bug(
        "home_is_woken_by_itself",
        "what home collects itself is announced to it as well",
        "a_foreign_token_comes_out_at_home",
        (("foreign_poll.c", "    f->counted = true;\n", ""),),
    ),
    Bug(
        "a_sockets_error_is_its_end",
        "an error event alone is the end of a socket, too",
        "an_error_of_a_socket_is_met_by_both",
        (
            (
                "posixfd.c",
                " &&\n           !S_ISSOCK(st.st_mode);",
                ";",
            ),
        ),
    ),
    Bug(
        "an_error_is_for_ever",
        "an error event that no other follows is believed for good",
        "an_error_that_is_over",
        (
            (
                "desc.c",
                "np_load(&d->info) & INFO_EVENT_ERR && np_fd_is_broken(d->fd);",
                "np_load(&d->info) & INFO_EVENT_ERR;",
            ),
        ),
    ),
    Bug(
        "an_error_hides_what_was_not_asked_for",
        "room to write beside an error is not seen by who asked to read",
        "an_error_beside_room_to_write",
        (
            (
                "posixfd.c",
                ".events = POLLIN | POLLOUT | POLLPRI}",
                ".events = POLLIN}",
            ),
        ),
    ),
    Bug(
        "registrations_outlive_numbers",
        "what np_close could not remove is in the way for good",
        "a_number_that_comes_back",
        (
            (
                "open.c",
                "    if (p->backend->reclaim(p->kernel, fd, known ? np_tag_of(known) : 0) != 1)\n        return rc;\n",
                "    return rc;\n",
            ),
        ),
    ),
    Bug(
        "reclaims_from_its_owner",
        "a number that is open is opened again",
        "a_number_that_is_opened_each_time",
        (
            (
                "epollfd.c",
                "    if (!known || np_epoll_lists(epfd, fd, tag) > 0)\n        return 1;\n",
                "    (void)known;\n    return 1;\n",
            ),
        ),
    ),
    Bug(
        "reclaim_trusts_the_list",
        "a descriptor that is listed is taken for the one in the way",
        "a_number_that_is_opened_each_time",
        (
            (
                "epollfd.c",
                "    if (!known || np_epoll_lists(epfd, fd, tag) > 0)\n",
                "    if (!known)\n",
            ),
        ),
    ),
    Bug(
        "replaced_registrations_are_forgotten",
        "a descriptor that was evicted by the next is not known to have left one",
        "a_number_that_is_opened_each_time",
        (
            (
                "open.c",
                "        p->outlived = true;\n",
                "",
            ),
        ),
    ),
    Bug(
        "mirror_keeps_lost_files",
        "what has lost its number while it was armed stays in the mirror",
        "an_outer_loop_comes_to_rest",
        (
            (
                "poll.c",
                "    k->mirror_off = k->mirror_off || rc < 0;\n",
                "",
            ),
        ),
    ),
    Bug(
        "mirror_is_made_anew_too_late",
        "a close leaves the mirror as it is",
        "an_outer_loop_comes_to_rest",
        (
            (
                "poll.c",
                "        forget(k, e);\n    refresh_mirror(k);\n",
                "        forget(k, e);\n",
            ),
            (
                "poll.c",
                "        rc = collect(k, &set, n, events, max);\n    refresh_mirror(k);\n",
                "        rc = collect(k, &set, n, events, max);\n",
            ),
        ),
    ),
    Bug(
        "an_event_after_an_expiry_is_lost",
        "an event that meets WAIT_AGAIN is not remembered",
        "a_deadline_and_an_event_as_a_waiter_parks",
        (
            (
                "desc.c",
                "        return ready ? SEM_WAIT_READY : SEM_WAIT_AGAIN;",
                "        return sem == SEM_WAIT_AGAIN ? sem : ready ? SEM_WAIT_READY : SEM_WAIT_AGAIN;",
            ),
        ),
    ),
    Bug(
        "those_left_inside_need_not_cover",
        "a driver that leaves does not check whether the others wake for the first deadline",
        "a_deadline_is_covered_by_a_poll_that_leaves_first",
        (
            (
                "thread.c",
                "    return !covered;",
                "    return false;",
            ),
        ),
    ),
    Bug(
        "a_long_poll_ends_at_once",
        "the end of a poll is past the end of the clock, and so before now",
        "a_poll_to_the_end_of_the_clock",
        (
            (
                "poller.c",
                "timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;",
                "timeout_ns < 0 ? INT64_MAX : (int64_t)((uint64_t)now + (uint64_t)timeout_ns);",
            ),
        ),
    ),
    Bug(
        "a_child_keeps_a_closed_pollers_kernel",
        "a poller that was closed under a driver is left to the driver, who is gone",
        "a_child_of_a_closed_poller",
        (
            (
                "fork.c",
                "    else if (np_load(&p->state) == STATE_CLOSED)\n        np_release_kernel(p);\n",
                "",
            ),
        ),
    ),
    Bug(
        "a_childs_count_of_the_unparked_stays",
        "the tokens that a child has seem to be fewer",
        "a_child_has_the_tokens_of_writers_too",
        (("fork.c", "        p->unparked[mode - 1] = 0;\n", ""),),
    ),
    Bug(
        "a_child_arms_readers_only",
        "on poll(2) a forked child does not arm again what writers wait for",
        "a_child_has_the_tokens_of_writers_too",
        (
            (
                "open.c",
                "rc >= 0 && p->backend->arm && i < 2; i++)",
                "rc >= 0 && p->backend->arm && i < 1; i++)",
            ),
        ),
    ),
    Bug(
        "a_close_is_over_before_the_number",
        "those that wait for a close are told before the number is closed",
        "a_close_that_waits",
        (
            (
                "file.c",
                "    int rc = np_load(&f->state) & FILE_DETACHED ? NP_OK : close_number_blocking(f->fd);\n    np_sema_open(&f->gone);\n",
                "    np_sema_open(&f->gone);\n    int rc = np_load(&f->state) & FILE_DETACHED ? NP_OK : close_number_blocking(f->fd);\n",
            ),
        ),
    ),
    Bug(
        "the_last_to_leave_tells_nobody",
        "a close that waits is not told of the end",
        "a_close_that_waits",
        (
            (
                "file.c",
                "    np_sema_open(&f->gone);\n    return rc;",
                "    return rc;",
            ),
        ),
    ),
    Bug(
        "a_close_waits_for_itself",
        "a close in the midst of an operation waits for that",
        "a_close_in_its_own_operation",
        (
            (
                "file.c",
                "np_load_plain(&h->holder) == np_thread_id()",
                "np_load_plain(&h->holder) == 0",
            ),
        ),
    ),
    Bug(
        "a_close_waits_for_no_task",
        "a task does not wait for another of its thread",
        "a_close_under_a_token_of_its_thread",
        (
            (
                "op.c",
                "    np_half_of(op->file, op->mode)->parked = true;\n",
                "",
            ),
        ),
    ),
    Bug(
        "a_task_that_woke_counts_as_parked",
        "an operation that goes on is taken for one that can leave",
        "a_close_in_a_task_that_woke",
        (
            (
                "op.c",
                "    np_half_of(op->file, op->mode)->parked = false;\n",
                "",
            ),
        ),
    ),
    *SEMA_BUGS,
)
