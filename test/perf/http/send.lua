-- POST /message/send: one group message of 45 bytes per request, 200 groups, stored and synced before
-- the answer.  wrk -t1 -c64 -d10 -s test/perf/http/send.lua http://127.0.0.1:5001
local n, threads = 0, 0

function setup(thread)
    threads = threads + 1
    thread:set("id", threads .. "x" .. os.time())
end

function request()
    n = n + 1
    return wrk.format("POST", "/message/send", {["Content-Type"] = "application/json"},
        '{"header":{"no_persist":0,"red_dot":1,"sync_once":0},"from_uid":"u' .. n % 500 ..
        '","channel_id":"g' .. n % 200 .. '","channel_type":2,"client_msg_no":"c' .. id .. "_" .. n ..
        '","payload":"eyJ0eXBlIjoxLCJjb250ZW50IjoiaGVsbG8gd29ybGQgMTIzNDU2Nzg5MCJ9"}')
end

function done(summary, latency)
    io.write(string.format("p50 %.2f ms  p99 %.2f ms  refused %d\n",
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.errors.status))
end
