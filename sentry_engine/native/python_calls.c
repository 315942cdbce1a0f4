/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "python_calls.h"

#include "core_internal.h"
#include "memory/epoch.h"
#include "nanoseconds.h"

static struct se_request make_request(const uint8_t address[16], uint32_t event, int verified, uint64_t now)
{
    struct se_request request = {
        .event = (uint16_t)(event < UINT16_MAX ? event : UINT16_MAX), /* no such event: refused */
        .verified = verified != 0,
        .now = now,
    };

    memcpy(request.address, address, sizeof request.address);
    return request;
}

void se_core_answer_words(struct se_core *core, const uint8_t *addresses, uint64_t count, uint32_t event, int verified,
                          double now, uint64_t *words)
{
    struct se_request requests[SE_BATCH];
    struct se_verdict verdicts[SE_BATCH];
    uint64_t time = se_to_ns(now);

    for (uint64_t done = 0; done < count;) {
        uint32_t next = count - done < SE_BATCH ? (uint32_t)(count - done) : SE_BATCH, generation;
        for (uint32_t i = 0; i < next; i++)
            requests[i] = make_request(addresses + 16 * (done + i), event, verified, time);
        generation = se_core_decide(core, requests, verdicts, next);
        for (uint32_t i = 0; i < next; i++, done++)
            words[done] = se_pack_word(&verdicts[i], generation);
    }
}

uint64_t se_core_trace(struct se_core *core, const uint8_t address[16], uint32_t event, int verified, double now,
                       struct se_step steps[SE_STEPS], double *retry_after)
{
    struct se_request request = make_request(address, event, verified, se_to_ns(now));
    struct se_epoch_slot *slot = se_epoch_enter();
    const struct se_in_force *in_force = se_core_in_force(core);
    uint32_t generation = in_force ? in_force->generation : 0;
    struct se_verdict verdict;

    se_refuse_all(&verdict, 1);
    if (in_force)
        se_walk(in_force, se_core_state(core), &request, &verdict, steps);
    se_epoch_leave(slot);
    *retry_after = se_to_seconds(verdict.retry_after);
    return se_pack_word(&verdict, generation);
}

void se_core_set_log_sampling(struct se_core *core, uint32_t every)
{
    se_log_set_sampling(se_core_log(core), every);
}

void se_core_set_log_bell(struct se_core *core, int bell)
{
    se_log_set_bell(se_core_log(core), bell);
}

void se_core_arm_log(struct se_core *core)
{
    se_log_arm(se_core_log(core));
}

uint32_t se_core_drain_log(struct se_core *core, struct se_decision_row *out, uint32_t room)
{
    struct se_decision decision;
    uint32_t count = 0;

    while (count < room && se_log_drain(se_core_log(core), &decision, 1)) {
        struct se_decision_row *row = &out[count++];
        *row = (struct se_decision_row){
            .word = se_pack_word(&decision.verdict, decision.generation),
            .retry_after = se_to_seconds(decision.verdict.retry_after),
            .now = se_to_seconds(decision.request.now),
            .latency = decision.latency,
            .event = decision.request.event,
            .port = decision.request.port,
            .local_port = decision.request.local_port,
            .protocol = decision.request.protocol,
            .verified = decision.request.verified == SE_SOURCE_VERIFIED,
        };
        memcpy(row->address, decision.request.address, sizeof row->address);
    }
    return count;
}
