# The first process of a container in a Pod. busybox's ash runs it, from a volume, so that any image will do.
#
#   sh shim [-b RUN] [-c] [-n] [-x] [-w FOLDER] [-s USER] [-u NAME]... [-e COUNT] -- COMMAND [ARGUMENT]... [NAME=VALUE]...
#
#   -b RUN     the number of the run, which is noted as begun and gets the variables of linked.RUN; it stands first
#   -c         write stderr to /.swarm/stderr, which the container `swarm-stderr` reads; it stands before all others
#   -n         the command gets no input
#   -x         the command runs beside the container's: the first line of its output is its process id, or why it can't run
#   -w FOLDER  where the command works
#   -s USER    who runs the command: NAME or UID, with or without :GROUP; it gets no groups besides
#   -u NAME    a variable that the command does not get
#   -e COUNT   how many variables follow the command: those that a shell can't hold, such as discovery.type
#
#   sh shim -r [once]
#
#   -r         be the process of the container `swarm-stderr`: write all that comes to /.swarm/stderr, once or again and again
#
# /.swarm/pid holds the process that signals are for; runs.sh tells of the other files there. Applets never run in place
# of the image's own programs: the command is looked up here, and run by its path.
set -f
swarm_box=/.swarm/busybox

# Read until TERM comes, or `once`. A reader that ended with each writer could lose what the next one had already written.
relay() {
  [ "$1" = once ] || exec 8<>/.swarm/stderr
  trap 'exec 8<>/.swarm/stderr 8>&-' TERM # which ends the wait for a writer, but no reading from one
  "$swarm_box" cat /.swarm/stderr 8>&- &
  while kill -0 $! 2>/dev/null; do wait $!; done
  exit 0
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
  if [ -n "$swarm_beside" ]; then
    echo "OCI runtime exec failed: exec failed: unable to start container process: $2"
    exit 126
  fi
  echo "$2" >/dev/termination-log
  exit "$1"
}

enter() {
  case $1 in
    /*) cd "$1" 2>/dev/null || report 126 "chdir to cwd (\"$1\") set in config.json failed: no such file or directory: unknown" ;;
    *) report 126 "Cwd must be an absolute path: unknown" ;;
  esac
}

# Set swarm_uid and swarm_gid, and HOME, by the name of a user; neither, if the container's user is the same.
find_user() {
  swarm_uid=${1%%:*} swarm_gid=0 swarm_home=/
  find_entry passwd "$swarm_uid" && swarm_uid=$swarm_id swarm_gid=$swarm_group swarm_home=$swarm_folder
  is_number "$swarm_uid" || report 126 "unable to find user $swarm_uid: no matching entries in passwd file"
  case $1 in
    *:*)
      swarm_gid=${1#*:}
      find_entry group "$swarm_gid" && swarm_gid=$swarm_id
      is_number "$swarm_gid" || report 126 "unable to find group $swarm_gid: no matching entries in group file"
      ;;
  esac
  export HOME="$swarm_home"
  if [ "$("$swarm_box" id -u):$("$swarm_box" id -g)" = "$swarm_uid:$swarm_gid" ]; then
    swarm_uid=
  elif [ "$("$swarm_box" id -u)" != 0 ]; then
    report 126 "user $1: the container does not run as root, which alone can become another user"
  fi
}

# Find the entry of /etc/passwd or /etc/group that has a name or a number.
find_entry() {
  [ -r "/etc/$1" ] || return 1
  while IFS=: read -r swarm_name _ swarm_id swarm_group _ swarm_folder _; do
    if is_number "$swarm_id" && { [ "$swarm_name" = "$2" ] || [ "$swarm_id" = "$2" ]; }; then
      return 0
    fi
  done <"/etc/$1"
  return 1
}

is_number() {
  case $1 in
    '' | *[!0-9]*) return 1 ;;
  esac
}

# Become the command.
run() {
  find_program "$1"
  if [ -n "$swarm_beside" ]; then
    echo $$
  else
    echo $$ >/.swarm/pid
    if [ -n "$swarm_run" ]; then
      swarm_count=$((swarm_count - $#))
      eval "set -- \"\$@\" $("$swarm_box" cat "/.swarm/linked.$swarm_run")"
      swarm_count=$((swarm_count + $#))
      echo "$swarm_run" >/.swarm/begun
    fi
  fi
  if [ "$swarm_count" -eq 0 ] && [ -z "$swarm_uid" ]; then
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
  [ "$swarm_count" -eq 0 ] || set -- "$swarm_box" env "$@"
  [ -z "$swarm_uid" ] || set -- "$swarm_box" nsenter -S "$swarm_uid" -G "$swarm_gid" -- "$@"
  exec "$@"
}

swarm_run=''
[ "$1" != -b ] || { swarm_run=$2 && shift 2; }
case $1 in
  -r) relay "$2" ;;
  -c)
    shift
    exec 2>/.swarm/stderr
    ;;
esac
swarm_count=0 swarm_uid='' swarm_beside=''
while getopts nxw:s:u:e: swarm_option; do
  case $swarm_option in
    n) exec </dev/null ;;
    x) swarm_beside=yes ;;
    w) enter "$OPTARG" ;;
    s) find_user "$OPTARG" ;;
    u) unset "$OPTARG" ;;
    e) swarm_count=$OPTARG ;;
  esac
done
shift $((OPTIND - 1))
run "$@"
