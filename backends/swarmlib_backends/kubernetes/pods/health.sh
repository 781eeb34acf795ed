# Check the health of a container again and again, and tell each result to whoever asks. busybox's ash runs this beside the
# container's command.
#
#   sh -c SCRIPT sh FOLDER MAIN POLL INTERVAL EARLY PERIOD TIMEOUT RETRIES COMMAND [ARGUMENT]...
#
#   FOLDER    where the tools are
#   MAIN      the process whose end ends the checks; "" for the one that FOLDER/pid names
#   POLL      seconds between two looks for a new result
#   INTERVAL  seconds between two checks; EARLY: the same, while the container may still be starting
#   PERIOD    for how long it may be starting, and TIMEOUT: how long a check may take; in hundredths of a second
#   RETRIES   how many checks in a row must fail
#
# However many ask, one process checks: the first to ask starts it, and it goes on without them. FOLDER/health holds its
# last results. A client gets each state in a line, until its own stdin ends:
#
#   STATUS FAILING [START:END:CODE:OUTPUT]...
#
# FAILING is how many checks in a row have failed. Of the last checks, the times are hundredths of a second since the
# epoch, and the output is in base64; the code is `late` for one that was ended since it took too long.
set -f
box=$1/busybox folder=$1 main=$2 poll=$3 interval=$4 early=$5 period=$6 timeout=$7 retries=$8
shift 8

# Set `up` to the hundredths of a second since the machine's start, of which busybox's date knows none.
look() {
  read -r up _ </proc/uptime
  up=${up%.*}${up#*.}
}

probe() {
  look
  began=$up offset=$(($("$box" date +%s) * 100 - up))
  status=starting failing=0 log='' count=0 number=0
  publish
  while [ -d "/proc/$main" ]; do
    if [ "$status" = starting ] && [ $((up - began)) -lt "$period" ]; then
      "$box" sleep "$early"
    else
      "$box" sleep "$interval"
    fi
    [ -d "/proc/$main" ] || break
    check "$@"
    publish
  done
}

check() {
  look
  at=$up
  "$box" timeout -s KILL $(((timeout + 99) / 100)) "$@" </dev/null >"$folder/health.output" 2>&1
  code=$?
  look
  output=$("$box" head -c 8192 "$folder/health.output" | "$box" base64 | "$box" tr -d '\n')
  [ $((up - at)) -lt "$timeout" ] || code=late
  if [ "$code" = 0 ]; then
    status=healthy failing=0
  elif [ "$status" != starting ] || [ $((at - began)) -ge "$period" ]; then
    failing=$((failing + 1))
    [ "$failing" -lt "$retries" ] || status=unhealthy
  fi
  log="$log $((at + offset)):$((up + offset)):$code:$output"
  count=$((count + 1))
  [ "$count" -le 5 ] || log=" ${log# * }"
}

publish() {
  number=$((number + 1))
  {
    echo "$main $number"
    echo "$status $failing$log"
  } >"$folder/health.new"
  "$box" mv "$folder/health.new" "$folder/health"
}

# Have one process check: another is started if the last one was killed.
ensure() {
  lock=$folder/health.$main
  if [ ! -d "$lock" ]; then
    if "$box" mkdir "$lock" 2>/dev/null; then
      probe "$@" </dev/null >/dev/null 2>&1 &
      echo $! >"$lock/pid"
    fi
  elif read -r holder <"$lock/pid" && [ ! -d "/proc/$holder" ]; then
    "$box" rm -r "$lock"
  fi 2>/dev/null
}

follow() {
  seen=
  while [ -d "/proc/$main" ]; do
    ensure "$@"
    {
      read -r now && [ "$now" != "$seen" ] && [ "${now% *}" = "$main" ] && seen=$now && "$box" cat
    } 2>/dev/null <"$folder/health"
    "$box" sleep "$poll"
  done
}

if [ -z "$main" ]; then # the file may still be that of the last run
  until read -r main <"$folder/pid" && [ -d "/proc/$main" ]; do "$box" sleep 0.1; done 2>/dev/null
fi
follow "$@" </dev/null &
follower=$!
"$box" cat >/dev/null
kill "$follower"
