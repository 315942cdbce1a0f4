/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table/plan_check.h"

#include "gate.h"

#include <errno.h>
#include <stdbool.h>

int se_refuse(struct se_fault *fault, const char *what, uint64_t number)
{
    *fault = (struct se_fault){.what = what, .tier = SE_TIERS, .row = number};
    return -EINVAL;
}

static bool is_rule(const struct se_plan_columns *plan, uint32_t rule)
{
    return rule == UINT32_MAX || rule < plan->rule_count;
}

static int check_limits(const struct se_plan_columns *plan, struct se_fault *fault)
{
    if (plan->limit_count > SE_MAX_LIMITS)
        return se_refuse(fault, "more than 65536 limits", plan->limit_count);
    for (uint32_t i = 0; i < plan->limit_count; i++) {
        const struct se_limit *limit = &plan->limits[i];
        if (limit->max_events < 1 || limit->max_events > UINT16_MAX)
            return se_refuse(fault, "a limit whose max_events is not between 1 and 65535", i);
        if (limit->window < 1 || limit->window > SE_MAX_WINDOW)
            return se_refuse(fault, "a limit whose window is not above 0 and at most ten years", i);
        if (!(limit->penalty_seconds >= 0 && limit->penalty_growth >= 0 && limit->penalty_max_seconds >= 0))
            return se_refuse(fault, "a limit with a negative penalty or growth", i);
        if (limit->kept_rule != UINT32_MAX && limit->kept_rule >= SE_MAX_KEPT_RULES)
            return se_refuse(fault, "a limit whose rule has no name in the engine's list", i);
        if (limit->event >= plan->event_count || !is_rule(plan, limit->rule))
            return se_refuse(fault, "a limit that names an event or a rule the plan does not have", i);
    }
    return 0;
}

static int check_sets(const struct se_plan_columns *plan, struct se_fault *fault)
{
    if (plan->event_count < SE_EVENT_CUSTOM || plan->event_count > SE_MAX_EVENTS)
        return se_refuse(fault, "more than 1024 events", plan->event_count);
    if (plan->set_count > SE_MAX_SET_CELLS / plan->event_count)
        return se_refuse(fault, "too many sets of limits", plan->set_count);
    for (uint32_t i = 0; i < plan->set_count * plan->event_count; i++) {
        uint32_t limit = plan->sets[i];
        if (limit != SE_NO_LIMIT && (limit >= plan->limit_count || plan->limits[limit].event != i % plan->event_count))
            return se_refuse(fault, "a set of limits with a limit the plan does not have, or of another event", i / plan->event_count);
    }
    if (plan->payback_count > SE_MAX_PAYBACKS)
        return se_refuse(fault, "more than 1024 paybacks", plan->payback_count);
    for (uint32_t i = 0; i < plan->payback_count; i++) {
        if (plan->paybacks[i].event >= plan->event_count || plan->paybacks[i].from_event >= plan->event_count)
            return se_refuse(fault, "a payback of an event the plan does not have", i);
    }
    return 0;
}

static int check_settings(const struct se_plan_columns *plan, struct se_fault *fault)
{
    if (plan->ipv4_prefix < 1 || plan->ipv4_prefix > 32 || plan->ipv6_prefix < 1 || plan->ipv6_prefix > 64)
        return se_refuse(fault, "an aggregation whose ipv4_prefix is not 1 to 32 or whose ipv6_prefix is not 1 to 64", 0);
    if (plan->default_action > SE_RATE_LIMITED)
        return se_refuse(fault, "a default action that does not exist", plan->default_action);
    if (plan->on_missing > SE_RATE_LIMITED && plan->on_missing != SE_NO_ACTION)
        return se_refuse(fault, "an action on_missing that does not exist", plan->on_missing);
    if (plan->rule_count > SE_MAX_RULES)
        return se_refuse(fault, "more than 67108864 rules", plan->rule_count);
    return 0;
}

int se_plan_check(const struct se_plan_columns *plan, struct se_fault *fault)
{
    int rc = check_settings(plan, fault);

    if (!rc)
        rc = check_sets(plan, fault);
    if (!rc)
        rc = check_limits(plan, fault);
    return rc;
}
