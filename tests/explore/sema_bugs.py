# ruff: noqa: E501  (the core's lines are quoted as they stand)
"""Bugs to plant in semaphores and timers, and in what fork does to them."""

from __future__ import annotations

from bug import Bug

SEMA_BUGS = (
    # --- the word ---
    Bug(
        "release_passes_the_queue",
        "a unit is remembered in the word although a thread waits",
        "a_unit_wakes_a_thread",
        (("sema.c", "        if (old & WAITERS)\n            return false;\n", ""),),
    ),
    Bug(
        "release_within_passes_the_queue",
        "a unit within a limit is remembered in the word although a thread waits",
        "a_release_within_a_limit",
        (("sema.c", "            release_to_queue(s, n, NULL);\n            return NP_OK;\n", ""),),
    ),
    Bug(
        "release_within_checks_first",
        "the limit is checked and the unit released in two steps",
        "a_release_within_a_limit",
        (
            (
                "sema.c",
                "        if (np_cas(word, old, old + n * UNIT))\n            return NP_OK;\n    }\n}\n\nNP_HOT void np_sema_hand_over(",
                "        np_sema_release(s, n);\n        return NP_OK;\n    }\n}\n\nNP_HOT void np_sema_hand_over(",
            ),
        ),
    ),
    Bug(
        "announced_over_a_unit",
        "a unit that comes between the try and the queue is not seen, and is lost",
        "a_unit_wakes_a_thread",
        (
            (
                "sema.c",
                "    if (!np_cas(word_of(s), 0, WAITERS))\n        return false;\n",
                "    np_store(word_of(s), WAITERS);\n",
            ),
        ),
    ),
    Bug(
        "announced_after_a_check",
        "the word is checked and the queue announced in two steps",
        "a_unit_wakes_a_thread",
        (
            (
                "sema.c",
                "    if (!np_cas(word_of(s), 0, WAITERS))\n        return false;\n",
                "    if (np_load(word_of(s)) != 0)\n        return false;\n    np_store(word_of(s), WAITERS);\n",
            ),
        ),
    ),
    Bug(
        "queue_made_anew",
        "each that comes empties the queue",
        "units_of_two_releasers",
        (
            (
                "sema.c",
                "    if (np_load(word_of(s)) == WAITERS)\n        return true;\n    if (!np_cas",
                "    if (np_load(word_of(s)) != WAITERS && !np_cas",
            ),
        ),
    ),
    Bug(
        "waiters_bit_stays",
        "the word still says that there is a queue when that is empty",
        "units_of_two_releasers",
        (
            (
                "sema.c",
                "    if (np_list_empty(queue_of(w->sema)))\n        change_word(w->sema, 0, WAITERS, 0);\n",
                "",
            ),
        ),
    ),
    Bug(
        "waiters_bit_cleared_too_early",
        "the word says that there is no queue as soon as the first has left it",
        "units_of_two_releasers",
        (
            (
                "sema.c",
                "    if (np_list_empty(queue_of(w->sema)))\n        change_word(",
                "    change_word(",
            ),
        ),
    ),
    Bug(
        "waiters_bit_cleared_by_a_store",
        "and a shut meanwhile is lost",
        "one_of_a_crowd_shuts_it",
        (
            (
                "sema.c",
                "        change_word(w->sema, 0, WAITERS, 0);\n",
                "        np_store(word_of(w->sema), np_load(word_of(w->sema)) & ~(uint32_t)WAITERS);\n",
            ),
        ),
    ),
    Bug(
        "opened_without_checking_the_word",
        "the first to open a semaphore that nobody has waited for follows its null links",
        "opening_lets_all_pass",
        (
            (
                "sema.c",
                "    while (np_load(word_of(s)) & WAITERS) {\n",
                "    while (!np_list_empty(queue_of(s))) {\n",
            ),
        ),
    ),
    Bug(
        "rest_of_a_release_is_forgotten",
        "units that nobody waits for when the queue has run dry",
        "a_release_of_several",
        (("sema.c", "        change_word(s, 0, 0, n);\n", "        n = 0;\n"),),
    ),
    # --- the queue ---
    Bug(
        "last_come_first_served",
        "a waiter is put before those that came first",
        "a_token_before_a_thread",
        (
            (
                "sema.c",
                "    np_list_append(before, &w->sema_link);\n",
                "    np_list_append(queue->next, &w->sema_link);\n",
            ),
        ),
    ),
    Bug(
        "place_is_not_kept",
        "a thread that ran a signal handler is put behind those that came after it",
        "a_signal_keeps_the_place",
        (
            (
                "sema.c",
                "    while (before->prev != queue &&\n"
                "           NP_CONTAINER(before->prev, np_waiting, sema_link)->arrival > w->arrival)\n"
                "        before = before->prev;\n",
                "",
            ),
        ),
    ),
    Bug(
        "place_is_ignored",
        "a thread that ran a signal handler comes as if for the first time",
        "a_signal_keeps_the_place",
        (("sema.c", ".arrival = place ? *place : 0};", ".arrival = 0};"),),
    ),
    Bug(
        "place_is_not_told",
        "the caller has nothing to come back with",
        "a_signal_keeps_the_place",
        (("sema.c", "    if (place)\n        *place = w.arrival;\n", ""),),
    ),
    # --- grants ---
    Bug(
        "granted_by_a_store",
        "a unit goes to a waiter whose instant has ended its wait",
        "a_tokens_timeout_against_a_release",
        (
            (
                "sema.c",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            continue;\n",
                "        np_store(&w->state, state);\n",
            ),
        ),
    ),
    Bug(
        "granted_after_a_check",
        "the state is checked and stored in two steps, and the instant comes in between",
        "a_tokens_timeout_against_a_release",
        (
            (
                "sema.c",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            continue;\n",
                "        if (np_load(&w->state) != WAITER_WAITING)\n            continue;\n"
                "        np_store(&w->state, state);\n",
            ),
        ),
    ),
    Bug(
        "unit_of_an_expired_waiter_is_lost",
        "a token that timed out and has not been resumed takes the unit along",
        "a_tokens_timeout_against_a_release",
        (
            (
                "sema.c",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            continue;\n",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            return true;\n",
            ),
        ),
    ),
    Bug(
        "expired_waiter_ends_the_queue",
        "nobody behind one that timed out is served",
        "an_expired_token_blocks_no_other",
        (
            (
                "sema.c",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            continue;\n",
                "        if (!np_cas(&w->state, WAITER_WAITING, state))\n            break;\n",
            ),
        ),
    ),
    Bug(
        "record_touched_after_the_grant",
        "a thread that has its unit may have returned, and its record be gone",
        "a_thread_that_was_granted_is_gone",
        (
            (
                "sema.c",
                "            g->threads[g->thread_count++] = &w->state;\n",
                "            g->threads[g->thread_count++] = np_load(&w->state) ? &w->state : NULL;\n",
            ),
        ),
    ),
    Bug(
        "unlinked_after_the_grant",
        "a thread that has its unit and comes again is taken out of the queue",
        "a_thread_that_was_granted_is_gone",
        (
            (
                "sema.c",
                "        unlink_locked(w);\n        if (g->holder) /* before the waiter can return */\n"
                "            np_store_plain(g->holder, w->thread);\n        if (!np_cas(&w->state, WAITER_WAITING, state))\n            continue;\n",
                "        if (g->holder)\n            np_store_plain(g->holder, w->thread);\n"
                "        bool ended = !np_cas(&w->state, WAITER_WAITING, state);\n"
                "        if (np_load(word_of(s)) & WAITERS)\n            unlink_locked(w);\n"
                "        if (ended)\n            continue;\n",
            ),
        ),
    ),
    Bug(
        "semaphore_touched_after_the_last_unit",
        "its owner may have freed it",
        "a_thread_frees_the_semaphore",
        (
            (
                "sema.c",
                "    for (; n > 0 && end_first_locked(s, WAITER_GRANTED, UINT64_MAX, &g); n--)\n",
                "    for (; end_first_locked(s, WAITER_GRANTED, UINT64_MAX, &g) && n > 0; n--)\n",
            ),
        ),
    ),
    Bug(
        "granted_thread_is_not_woken",
        "it sleeps on, with its unit",
        "a_unit_wakes_a_thread",
        (("sema.c", "        np_futex_wake(g->threads[i]);\n", "        (void)g;\n"),),
    ),
    Bug(
        "delivered_without_the_roots_lock",
        "a token that has its unit is cancelled and freed before it is delivered",
        "a_cancel_against_a_release",
        (
            (
                "sema.c",
                "            deliver(w, g);\n",
                "        {\n            np_mutex_unlock(&root_of(s)->lock);\n            deliver(w, g);\n"
                "            np_mutex_lock(&root_of(s)->lock);\n        }\n",
            ),
        ),
    ),
    Bug(
        "granter_holds_no_reference",
        "the poller goes with its token before the granter has left its lock",
        "a_poller_dropped_with_its_token_out",
        (
            (
                "sema.c",
                "        np_poller_ref(p);\n        g->pollers[g->poller_count++] = p;\n",
                "        (void)g;\n",
            ),
        ),
    ),
    # --- ends of waits ---
    Bug(
        "timed_out_with_a_unit",
        "a thread that times out while it is granted a unit takes it along",
        "a_timeout_against_a_release",
        (
            (
                "sema.c",
                "    return rc == NP_OK || !leave_queue(w) ? np_waiting_result(w) : rc;\n",
                "    if (rc != NP_OK)\n        leave_queue(w);\n    return rc == NP_OK ? np_waiting_result(w) : rc;\n",
            ),
        ),
    ),
    Bug(
        "leaves_without_the_lock",
        "a thread finds that it has been taken out of the queue, and returns before it is granted",
        "a_timeout_against_a_release",
        (
            (
                "sema.c",
                "    np_mutex_lock(&r->lock);\n    bool inside = w->at_sema;\n    if (inside)\n"
                "        unlink_locked(w);\n    np_mutex_unlock(&r->lock);\n    return inside;\n",
                "    (void)r;\n    bool inside = w->at_sema;\n    if (inside)\n"
                "        unlink_locked(w);\n    return inside;\n",
            ),
        ),
    ),
    Bug(
        "timed_out_and_still_queued",
        "a thread that gave up stays in the queue, and its record is gone",
        "a_timeout_alone",
        (
            (
                "sema.c",
                "    return rc == NP_OK || !leave_queue(w) ? np_waiting_result(w) : rc;\n",
                "    return rc == NP_OK ? np_waiting_result(w) : rc;\n",
            ),
        ),
    ),
    Bug(
        "resumed_and_still_queued",
        "a token that timed out stays in the queue, and its waiter is gone",
        "a_tokens_timeout_against_a_release",
        (
            (
                "sema.c",
                "    if (w->sema && rc != NP_OK && rc != NP_AGAIN)\n        leave_queue(w);\n",
                "",
            ),
        ),
    ),
    Bug(
        "cancelled_and_still_queued",
        "a token that was withdrawn stays in the queue, and its waiter is gone",
        "a_cancel_against_a_release",
        (
            (
                "sema.c",
                "    if (w->at_sema)\n        unlink_locked(w);\n    bool inside",
                "    bool inside",
            ),
        ),
    ),
    Bug(
        "cancelled_without_the_roots_lock",
        "a waiter is withdrawn and freed while a release has it in its hands",
        "a_cancel_against_a_release",
        (
            (
                "sema.c",
                "    root *r = w->sema ? root_of(w->sema) : NULL;\n",
                "    root *r = NULL;\n",
            ),
        ),
    ),
    Bug(
        "result_before_the_end",
        "a cancel says that nothing came, and the unit comes",
        "a_cancel_against_a_release",
        (
            (
                "sema.c",
                "    if (r)\n        np_mutex_lock(&r->lock);\n    if (w->at_sema)",
                "    *result = np_load(&w->state) == WAITER_OPENED ? NP_AGAIN : np_waiting_result(w);\n    if (r)\n        np_mutex_lock(&r->lock);\n    if (w->at_sema)",
            ),
            (
                "sema.c",
                "        np_mutex_unlock(&r->lock);\n    *result = np_load(&w->state) == WAITER_OPENED ? NP_AGAIN : np_waiting_result(w);\n    if (inside)",
                "        np_mutex_unlock(&r->lock);\n    if (inside)",
            ),
        ),
    ),
    Bug(
        "cancel_keeps_the_reference",
        "the poller of a token that was withdrawn never goes",
        "a_poller_dropped_under_a_token",
        (("sema.c", "    if (inside)\n        np_poller_unref(w->poller);\n", ""),),
    ),
    Bug(
        "parked_before_it_queues",
        "another brings the token out and frees its waiter, which then enters the queue",
        "a_token_parks_and_another_polls",
        (
            (
                "sema.c",
                "        link_locked(w);\n        rc = np_waiting_attach(w, p, token, until);\n"
                "        if (rc != NP_OK)\n            unlink_locked(w);\n",
                "        np_mutex_unlock(&r->lock);\n        rc = np_waiting_attach(w, p, token, until);\n"
                "        np_mutex_lock(&r->lock);\n        if (rc == NP_OK)\n            link_locked(w);\n",
            ),
        ),
    ),
    Bug(
        "refused_and_still_queued",
        "a token that a closed poller refuses stays in the queue",
        "a_token_parks_at_a_closing_poller",
        (("sema.c", "        if (rc != NP_OK)\n            unlink_locked(w);\n", ""),),
    ),
    Bug(
        "acquire_sleeps_past_its_slice",
        "a signal that comes just before the main thread sleeps is handled when it is woken",
        "a_signal_before_an_acquire_is_handled",
        (
            (
                "sema.c",
                "    int64_t end = slice.end < until ? slice.end : until;\n",
                "    int64_t end = until;\n",
            ),
        ),
    ),
    Bug(
        "signal_ends_the_time",
        "an acquire that a signal interrupts says that its time is over",
        "a_signal_before_a_timeout",
        (
            (
                "sema.c",
                "        if (passed(until))\n            return NP_TIMEOUT;\n        np_signal",
                "        if (until != NP_NEVER)\n            return NP_TIMEOUT;\n        np_signal",
            ),
        ),
    ),
    # --- open and shut ---
    Bug(
        "open_leaves_those_that_wait",
        "only those that come later pass",
        "opening_lets_all_pass",
        (
            (
                "sema.c",
                "    while (end_first_locked(s, state, last, &g))\n        make_room(r, &g);\n",
                "    (void)last, (void)state;\n",
            ),
        ),
    ),
    Bug(
        "opened_without_the_lock",
        "one enters the queue after all have been let pass, and before it is open",
        "opening_lets_all_pass",
        (
            ("sema.c", "    change_word(s, bit, 0, 0);\n", ""),
            (
                "sema.c",
                "    while (end_first_locked(s, state, last, &g))\n        make_room(r, &g);\n    np_mutex_unlock(&r->lock);\n",
                "    while (end_first_locked(s, state, last, &g))\n        make_room(r, &g);\n    np_mutex_unlock(&r->lock);\n"
                "    change_word(s, bit, 0, 0);\n",
            ),
        ),
    ),
    Bug(
        "opened_again_with_each_pause",
        "one that has passed shuts it, and it is open again",
        "one_of_a_crowd_shuts_it",
        (
            (
                "sema.c",
                "    while (end_first_locked(s, state, last, &g))\n        make_room(r, &g);\n",
                "    while (end_first_locked(s, state, last, &g)) {\n        make_room(r, &g);\n        change_word(s, bit, 0, 0);\n    }\n",
            ),
        ),
    ),
    Bug(
        "a_latecomer_passes_too",
        "one that has passed and shut it passes again with those that still wait",
        "one_of_a_crowd_shuts_it",
        (("sema.c", "    uint64_t last = r->arrivals;\n", "    uint64_t last = UINT64_MAX;\n"),),
    ),
    Bug(
        "queued_although_it_is_open",
        "one that comes while a crowd passes waits behind it, and nobody lets it pass",
        "one_comes_while_a_crowd_passes",
        (
            (
                "sema.c",
                "    if (np_load(word_of(s)) == WAITERS)\n        return true;\n",
                "    if (np_load(word_of(s)) & WAITERS)\n        return true;\n",
            ),
        ),
    ),
    # --- tokens at their poller ---
    Bug(
        "expired_by_a_store",
        "a token that has been granted a unit times out",
        "a_tokens_timeout_against_a_release",
        (
            (
                "waiter.c",
                "    if (!np_cas(&w->state, WAITER_WAITING, WAITER_EXPIRED))\n        return;\n",
                "    np_store(&w->state, WAITER_EXPIRED);\n",
            ),
        ),
    ),
    Bug(
        "closed_by_a_store",
        "a token that has been granted a unit is resumed as if its poller was closed",
        "a_poller_closed_under_a_waiting_token",
        (
            (
                "waiter.c",
                "        if (np_cas(&w->state, WAITER_WAITING, WAITER_CLOSED))\n",
                "        np_store(&w->state, WAITER_CLOSED);\n",
            ),
        ),
    ),
    Bug(
        "granted_token_delivered_by_close",
        "and by its granter: it comes out twice",
        "a_poller_closed_under_a_waiting_token",
        (
            (
                "waiter.c",
                "        if (np_cas(&w->state, WAITER_WAITING, WAITER_CLOSED))\n            np_waiting",
                "        np_cas(&w->state, WAITER_WAITING, WAITER_CLOSED);\n        np_waiting",
            ),
        ),
    ),
    Bug(
        "close_leaves_waiting_tokens",
        "a closed poller's tokens wait on",
        "a_token_parks_at_a_closing_poller",
        (("poller.c", "        np_waiting_close_all_locked(p, &wake_q);\n", ""),),
    ),
    Bug(
        "parked_at_a_closed_poller",
        "a token parks where nothing will bring it out",
        "a_token_parks_at_a_closing_poller",
        (
            (
                "waiter.c",
                "    int rc = np_load(&p->state) == STATE_CLOSED ? NP_CLOSED : NP_OK;\n",
                "    int rc = NP_OK;\n",
            ),
        ),
    ),
    Bug(
        "heap_keeps_what_was_delivered",
        "a waiter that got its unit is gone, and its timer is not",
        "a_tokens_timeout_against_a_release",
        (("waiter.c", "    np_heap_remove(&w->poller->heap, &w->entry);\n", ""),),
    ),
    Bug(
        "queue_keeps_what_was_cancelled",
        "a token that is cancelled in the ready queue comes out, and its waiter is gone",
        "a_cancel_against_a_release",
        (
            (
                "waiter.c",
                "    else if (inside)\n        np_unqueue_token(p, &w->entry);\n",
                "",
            ),
        ),
    ),
    Bug(
        "cancelled_and_still_marked",
        "a token that was cancelled in the ready queue is cancelled again, and searched for there",
        "the_last_token_that_is_ready_is_cancelled",
        (("waiter.c", "    np_store(&w->inside, 0);\n    np_unlock(", "    np_unlock("),),
    ),
    Bug(
        "unqueued_but_still_the_last",
        "the next token is put behind one that is gone",
        "the_last_token_that_is_ready_is_cancelled",
        (
            (
                "poller.c",
                "    if (q->last == e)\n        q->last = before;\n",
                "",
            ),
        ),
    ),
    Bug(
        "out_and_still_queued",
        "a cancel of a token that has come out searches the ready queue for it",
        "a_cancel_against_a_release",
        (
            (
                "waiter.c",
                "    np_store(&w->inside, 0); /* from here on its owner may use it again */\n",
                "",
            ),
        ),
    ),
    Bug(
        "waiter_holds_no_reference",
        "the poller goes under its waiting token",
        "a_poller_dropped_under_a_token",
        (
            ("waiter.c", "        np_inc(&p->refs);\n", ""),
            ("waiter.c", "    np_dec(&p->refs);\n", ""),
            ("sema.c", "    if (inside)\n        np_poller_unref(w->poller);\n", ""),
        ),
    ),
    Bug(
        "reference_stays_when_the_token_is_out",
        "the poller never goes",
        "a_unit_brings_a_token_out",
        (("waiter.c", "    np_dec(&p->refs);\n", ""),),
    ),
    # --- timers ---
    Bug(
        "new_timer_wakes_nobody",
        "a poll sleeps past a timer that was started meanwhile",
        "a_timer_reaches_a_poll_asleep",
        (
            (
                "waiter.c",
                "            np_heap_update(&p->heap, &w->entry);\n            np_kick_for_deadline(p, w->until, &wake_q);\n",
                "            np_heap_update(&p->heap, &w->entry);\n",
            ),
        ),
    ),
    Bug(
        "moved_timer_wakes_nobody",
        "a poll sleeps past a timer that was moved before it",
        "a_timer_moved_earlier",
        (
            (
                "waiter.c",
                "        if (has_end(w))\n            np_kick_for_deadline(p, w->until, &wake_q);\n    }\n    np_unlock(p, &wake_q);\n    return rc == NP_OK ? waits",
                "    }\n    np_unlock(p, &wake_q);\n    return rc == NP_OK ? waits",
            ),
        ),
    ),
    Bug(
        "moved_timer_stays_current",
        "a timer fires when it was to, before it was moved later",
        "a_timer_moved_later",
        (("waiter.c", "        w->entry.seq++;\n", ""),),
    ),
    Bug(
        "moved_timer_stays_in_its_place",
        "a timer that is moved earlier fires when it was to before",
        "a_timer_moved_earlier",
        (
            (
                "timers.c",
                "    } else if (when < h->entries[t->heap_pos].when) {\n",
                "    } else if (h->count == 0) {\n",
            ),
        ),
    ),
    Bug(
        "stale_timer_is_dropped",
        "a timer that was moved later never fires",
        "a_timer_moved_later",
        (
            (
                "timers.c",
                "        if (when > 0)\n            sift_down(h, 0, (np_timer_entry){.when = when, .owner = t});\n        else\n            remove_at(h, 0);\n",
                "        (void)when;\n        remove_at(h, 0);\n",
            ),
        ),
    ),
    Bug(
        "timer_of_never_is_due",
        "a timer that was moved to never fires",
        "a_timer_moved_to_never_and_back",
        (
            (
                "timers.c",
                "    return until == INT64_MAX ? 0 : until;\n",
                "    return until == INT64_MAX ? 1 : until;\n",
            ),
        ),
    ),
    Bug(
        "hole_in_the_heap_filled_downwards",
        "what takes the place of a timer that is cancelled may belong further up",
        "a_timer_taken_from_the_middle",
        (
            (
                "timers.c",
                "    if (pos > 0 && last.when < h->entries[(pos - 1) / NP_HEAP_ARITY].when)\n        sift_up(h, pos, last);\n    else\n",
                "",
            ),
        ),
    ),
    Bug(
        "hole_in_the_heap_keeps_its_place",
        "what takes the place of a timer that is cancelled does not know where it is",
        "a_timer_taken_from_the_middle",
        (
            (
                "timers.c",
                "    np_timer_entry last = h->entries[h->count];\n",
                "    np_timer_entry last = h->entries[h->count];\n    h->entries[pos] = last;\n    if (pos == 0)\n        return;\n",
            ),
        ),
    ),
    Bug(
        "instant_of_zero_is_none",
        "a timer of the past never fires",
        "a_timer_of_the_past",
        (("waiter.c", "    return when > 0 ? when : 1;\n", "    return when;\n"),),
    ),
    Bug(
        "moved_after_it_fired",
        "a timer that has fired is put into the heap again, and its waiter is gone",
        "a_timer_moved_later",
        (("waiter.c", "    bool waits = w->at_poller;\n", "    bool waits = true;\n"),),
    ),
    # --- fork ---
    Bug(
        "forked_threads_wait_on",
        "in the child the parent's threads are served, or block those behind them",
        "a_childs_threads_do_not_wait",
        (
            (
                "sema.c",
                "        if (!w->is_thread && w->thread == np_thread_id())\n            continue;\n",
                "        if (w->is_thread || w->thread == np_thread_id())\n            continue;\n",
            ),
        ),
    ),
    Bug(
        "forked_tokens_are_gone",
        "in the child nothing brings its own token out",
        "a_fork_in_the_middle_of_a_release",
        (
            (
                "sema.c",
                "        if (!w->is_thread && w->thread == np_thread_id())\n            continue;\n",
                "",
            ),
        ),
    ),
    Bug(
        "queues_in_the_middle_at_a_fork",
        "the child finds a token that has its unit and was not delivered",
        "a_fork_in_the_middle_of_a_release",
        (
            (
                "sema.c",
                "static void before_fork(void)\n{\n    for (int i = 0; i < ROOTS; i++)\n        np_mutex_lock(&roots[i].lock);\n",
                "static void before_fork(void)\n{\n",
            ),
        ),
    ),
    Bug(
        "pollers_locked_before_the_roots",
        "a fork and a release wait for each other",
        "a_fork_in_the_middle_of_a_release",
        (
            (
                "fork.c",
                "    for (np_fork_hooks *h = hooks; h; h = h->next)\n        h->before();\n    EACH_POLLER(p)\n    {\n        np_mutex_lock(&p->lock);\n    }\n",
                "    EACH_POLLER(p)\n    {\n        np_mutex_lock(&p->lock);\n    }\n"
                "    for (np_fork_hooks *h = hooks; h; h = h->next)\n        h->before();\n",
            ),
        ),
    ),
    Bug(
        "roots_stay_locked_in_a_child",
        "the first that waits there waits for ever",
        "a_childs_threads_do_not_wait",
        (
            (
                "sema.c",
                "        np_mutex_init(&roots[i].lock);\n        forget_gone",
                "        forget_gone",
            ),
        ),
    ),
    Bug(
        "fork_is_not_watched",
        "the hooks are not registered, so the child finds the queues as they were",
        "a_childs_threads_do_not_wait",
        (
            (
                "sema.c",
                "    if (np_load(&installed))\n        return 0;\n",
                "    if (!np_load(&installed))\n        return 0;\n",
            ),
        ),
    ),
    Bug(
        "cancelled_in_two_steps",
        "a fork in between leaves a token that no release reaches",
        "a_fork_in_the_middle_of_a_cancel",
        (
            (
                "sema.c",
                "        unlink_locked(w);\n    bool inside = np_waiting_detach(w);\n    if (r)\n        np_mutex_unlock(&r->lock);\n",
                "        unlink_locked(w);\n    if (r)\n        np_mutex_unlock(&r->lock);\n    bool inside = np_waiting_detach(w);\n",
            ),
        ),
    ),
)
