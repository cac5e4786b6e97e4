-- What wrk sends, and its figures as one line of JSON at the end.
-- Arguments after "--": the method, the path ({id} in it becomes a number, new in each request), the body's length.

function init(args)
  local method, path, length = args[1], args[2], tonumber(args[3])
  wrk.method = method
  if length > 0 then
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("0123456789abcdef", length / 16)
  end
  if string.find(path, "{id}", 1, true) then
    local before, after = string.match(path, "^(.*){id}(.*)$")
    local number = 0
    request = function()
      number = number + 1
      return wrk.format(nil, before .. number .. after)
    end
  else
    wrk.path = path
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status
  ))
end
