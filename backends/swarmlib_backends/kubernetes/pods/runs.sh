# The runs of a container in a Pod: what waits for them, and what begins and follows them. busybox's ash runs it.
#
#   sh runs gate ARGUMENT...   wait at the gate for a run, and become the shim with these arguments
#   sh runs keep ARGUMENT...   the same for run after run, each a child: the container and its files outlive its command
#   sh runs begin RUN [WORDS]  let the run of this number begin, if it has not, and wait until it has begun or ended;
#                              print why it can't begin. WORDS, in a shell's quotes, are variables for its command
#   sh runs end RUN [WORDS]    the same, and wait for its end, for containers that are kept: print `goes on`, if it does;
#                              its number, exit code and `oom`, if memory was lacking; the time; what the shim reported
#   sh runs attached WORD      print a line when the gate reads its input next, and end when WORD has come from there:
#                              whoever has sent it is attached
#
# /.swarm/go       the number of the run that may begin, or that goes on
# /.swarm/gate     a FIFO, while the gate is closed: a line has the gate look again, and a word has it read its input
# /.swarm/linked.N the variables that the command of run N gets besides its own, in a shell's quotes
# /.swarm/begun    the number of the last run whose command has begun
# /.swarm/ended    what `end` prints of the last run that has ended
# /.swarm/run.N    a FIFO that has a writer for as long as the run goes on, which any number of readers can wait for
set -f
swarm_box=/.swarm/busybox

keep() {
  trap 'exit "$swarm_code"' TERM # at once while it waits, or else when the command has ended
  trap 'true' HUP INT QUIT       # what a terminal sends is for the command alone
  swarm_code=0 swarm_last=0
  while :; do
    wait_for_go
    swarm_last=$swarm_run
    "$swarm_box" mkfifo "/.swarm/run.$swarm_run"
    exec 7<>"/.swarm/run.$swarm_run"
    echo -n >/dev/termination-log
    swarm_before=$(count_kills)
    "$swarm_box" sh /.swarm/shim -b "$swarm_run" "$@" 7>&-
    swarm_code=$?
    end_rest
    end_lines "$1"
    publish_end
  done
}

publish_end() {
  swarm_oom=
  [ "$swarm_code" -ne 137 ] || [ "$(count_kills)" = "$swarm_before" ] || swarm_oom=oom
  "$swarm_box" rm -f /.swarm/go /.swarm/pid # before the end is known: the next run's are made after that
  put ended "$swarm_run $swarm_code $swarm_oom"
  "$swarm_box" rm -f "/.swarm/run.$swarm_run" "/.swarm/linked.$swarm_run"
  exec 7>&-
}

# End the last line of what the command has written, which the node would else keep back, by a mark that clients never see.
end_lines() {
  swarm_mark=$("$swarm_box" printf '\036swarm-end %d\036' "$swarm_run")
  echo "$swarm_mark"
  if [ "$1" = -c ]; then # whose reader may be gone; what sees to the time goes on for a second, and must not hold run.N
    "$swarm_box" timeout 5 "$swarm_box" sh -c 'echo "$0" >/.swarm/stderr' "$swarm_mark" 7>&-
  elif [ ! -t 1 ]; then
    echo "$swarm_mark" >&2
  fi
}

# Print how many processes of the container the kernel has killed because memory was lacking.
count_kills() {
  "$swarm_box" grep -h '^oom_kill ' /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null
}

# Kill what the command has left running, as the end of a container's first process does; the tools are spared.
end_rest() {
  read -r swarm_own </proc/$$/cgroup
  set +f
  for swarm_process in /proc/[0-9]*; do
    read -r swarm_group 2>/dev/null <"$swarm_process/cgroup" || continue
    read -r swarm_words 2>/dev/null <"$swarm_process/cmdline"
    case $swarm_words in
      /.swarm/busybox*) ;;
      *) [ "$swarm_group" != "$swarm_own" ] || kill -9 "${swarm_process#/proc/}" 2>/dev/null ;;
    esac
  done
  set -f
}

# Set swarm_run to the number of the run that may begin now: one after swarm_last.
wait_for_go() {
  if [ -t 0 ]; then # nobody sees what `attached` reads
    [ -n "$swarm_terminal" ] || swarm_terminal=$("$swarm_box" stty -g)
    "$swarm_box" stty sane -echo
  fi
  "$swarm_box" mkfifo /.swarm/gate.new
  exec 9<>/.swarm/gate.new # before the look at the file, so that a line written after it is not lost
  "$swarm_box" mv -f /.swarm/gate.new /.swarm/gate
  until read -r swarm_run 2>/dev/null </.swarm/go && [ "$swarm_run" -gt "$swarm_last" ]; do
    read -r swarm_word <&9
    [ -z "$swarm_word" ] || read_input
  done
  "$swarm_box" rm -f /.swarm/gate
  exec 9>&-
  [ ! -t 0 ] || "$swarm_box" stty "$swarm_terminal"
}

read_input() {
  echo "$swarm_word" >/.swarm/asked
  read -r -t 5 swarm_line && echo "$swarm_line" >/.swarm/attached
}

begin() {
  until has_come "$1"; do
    has_reached go "$1" || let_go "$@" # again, if one who let an earlier run begin was late
    "$swarm_box" sleep 0.02
  done
  has_reached begun "$1" || "$swarm_box" cat /dev/termination-log
}

let_go() {
  put "linked.$1" "$2"
  put go "$1"
  [ ! -p /.swarm/gate ] || echo 1<>/.swarm/gate
}

# Write a file whole: somebody may read it at this time, and others may write it, too.
put() {
  echo "$2" >"/.swarm/new.$$"
  "$swarm_box" mv -f "/.swarm/new.$$" "/.swarm/$1"
}

has_come() { has_reached begun "$1" || has_reached ended "$1"; }

has_reached() { read -r swarm_number _ 2>/dev/null <"/.swarm/$1" && [ "$swarm_number" -ge "$2" ]; }

end() {
  begin "$@" >/dev/null
  has_reached ended "$1" || echo goes on
  until has_reached ended "$1"; do
    [ -p "/.swarm/run.$1" ] || "$swarm_box" sleep 0.05
    read -r swarm_line 2>/dev/null <"/.swarm/run.$1"
  done
  "$swarm_box" cat /.swarm/ended
  TZ=UTC "$swarm_box" stat -c %y /.swarm/ended
  "$swarm_box" cat /dev/termination-log
}

attached() {
  swarm_left=250
  until [ -p /.swarm/gate ]; do pause; done
  echo "$1" 1<>/.swarm/gate
  until is_in asked "$1"; do pause; done
  echo
  until is_in attached "$1"; do pause; done
}

is_in() { read -r swarm_line 2>/dev/null <"/.swarm/$1" && [ "$swarm_line" = "$2" ]; }

pause() {
  swarm_left=$((swarm_left - 1))
  [ "$swarm_left" -gt 0 ] || exit 1
  "$swarm_box" sleep 0.02
}

swarm_mode=$1 swarm_terminal=''
shift
case $swarm_mode in
  gate)
    swarm_last=0
    wait_for_go
    exec "$swarm_box" sh /.swarm/shim -b "$swarm_run" "$@"
    ;;
  *) "$swarm_mode" "$@" ;;
esac
