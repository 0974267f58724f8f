-- Arguments: METHOD BODY_BYTES. Ends with one line of JSON that the bench reads.
function init(args)
   wrk.method = args[1]
   local size = tonumber(args[2])
   if size > 0 then
      wrk.body = string.rep("x", size)
   end
end

function done(summary)
   local format = '{"requests": %d, "bytes": %d, "seconds": %.6f, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n'
   local errors = summary.errors
   io.write(string.format(
      format, summary.requests, summary.bytes, summary.duration / 1e6,
      errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
