-- What wrk has measured, in one line: the same as c/net_load.c prints.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("operations %d microseconds %d p50 %d p99 %d errors %d\n",
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
