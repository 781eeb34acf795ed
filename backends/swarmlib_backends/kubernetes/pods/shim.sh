# The first process of a container in a Pod. busybox's ash runs it, from a volume, so that any image will do.
#
#   sh shim [-k] [-g] [-u NAME]... [-e COUNT] -- COMMAND [ARGUMENT]... [NAME=VALUE]...
#
#   -k         keep the container when the command ends: write its exit code to /.swarm/code, and run it again at the
#              next go; it stands first
#   -g         wait at the gate until /.swarm/go exists: whoever makes that file also writes a line to /.swarm/gate
#   -u NAME    a variable that the command does not get
#   -e COUNT   how many variables follow the command: those that a shell can't hold, such as discovery.type
#
# /.swarm/pid holds the process that signals are for. Applets never run in place of the image's own programs: the
# command is looked up here, and run by its path.
set -f
swarm_box=/.swarm/busybox

keep() {
  trap 'exit "$swarm_code"' TERM # at once while it waits, or else when the command has ended
  trap : HUP INT QUIT            # what a terminal sends is for the command alone
  swarm_code=0
  while :; do
    wait_for_go
    "$swarm_box" rm -f /.swarm/code
    "$swarm_box" sh /.swarm/shim "$@"
    swarm_code=$?
    "$swarm_box" rm -f /.swarm/go /.swarm/pid
    echo "$swarm_code" >/.swarm/code.new
    "$swarm_box" mv /.swarm/code.new /.swarm/code
  done
}

wait_for_go() {
  [ -p /.swarm/gate ] || "$swarm_box" mkfifo /.swarm/gate
  exec 9<>/.swarm/gate # before the look at the file, so that a line written after it is not lost
  until [ -e /.swarm/go ]; do read -r swarm_line <&9; done
  exec 9>&-
}

# Set swarm_path to the program of a name, or report why there is none, in the words of a container runtime.
find_program() {
  swarm_path=
  case $1 in
    */*) swarm_path=$1 ;;
    *)
      swarm_ifs=$IFS IFS=:
      for swarm_folder in $PATH; do
        [ -f "$swarm_folder/$1" ] && [ -x "$swarm_folder/$1" ] && swarm_path=$swarm_folder/$1 && break
      done
      IFS=$swarm_ifs
      [ -n "$swarm_path" ] || report 127 "exec: \"$1\": executable file not found in \$PATH: unknown"
      ;;
  esac
  [ -e "$swarm_path" ] || report 127 "exec: \"$1\": stat $1: no such file or directory: unknown"
  [ -f "$swarm_path" ] && [ -x "$swarm_path" ] || report 126 "exec: \"$1\": permission denied: unknown"
}

report() {
  echo "$2" >/dev/termination-log
  exit "$1"
}

# Become the command.
run() {
  find_program "$1"
  if [ "$swarm_count" -eq 0 ]; then
    swarm_name=$1
    shift
    exec -a "$swarm_name" "$swarm_path" "$@"
  fi
  shift
  set -- "$swarm_path" "$@"
  swarm_left=$(($# - swarm_count)) # the variables come first for env, which sets them
  while [ "$swarm_left" -gt 0 ]; do
    set -- "$@" "$1"
    shift
    swarm_left=$((swarm_left - 1))
  done
  exec -a env "$swarm_box" "$@"
}

if [ "$1" = -k ]; then
  shift
  keep "$@"
fi
swarm_count=0
while getopts gu:e: swarm_option; do
  case $swarm_option in
    g) wait_for_go ;;
    u) unset "$OPTARG" ;;
    e) swarm_count=$OPTARG ;;
  esac
done
shift $((OPTIND - 1))
echo $$ >/.swarm/pid
run "$@"
