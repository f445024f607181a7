-- POST /channel/messagesync: the newest 100 messages of one group; run send.lua before.
-- wrk -t1 -c64 -d10 -s test/perf/http/sync.lua http://127.0.0.1:5001
function request()
    return wrk.format("POST", "/channel/messagesync", {["Content-Type"] = "application/json"},
        '{"login_uid":"u1","channel_id":"g1","channel_type":2,"start_message_seq":0,' ..
        '"end_message_seq":0,"limit":100,"pull_mode":0}')
end
