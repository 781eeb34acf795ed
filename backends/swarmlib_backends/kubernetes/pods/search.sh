# Where the names are searched for that a container asks for. busybox's ash runs it.
#
#   sh search [DOMAIN]...   search these domains first, and then those of the cluster
#
# /.swarm/resolv.cluster  /etc/resolv.conf as the cluster has made it
# /.swarm/resolv.conf     what Docker's container has in its place, which any user there may change
set -f
swarm_box=/.swarm/busybox swarm_others=''
[ -e /.swarm/resolv.cluster ] || "$swarm_box" cat /etc/resolv.conf >/.swarm/resolv.cluster
while read -r swarm_word swarm_words || [ -n "$swarm_word" ]; do
  case $swarm_word in
    search) set -- "$@" $swarm_words ;;
    *)
      swarm_others="$swarm_others
$swarm_word $swarm_words"
      ;;
  esac
done </.swarm/resolv.cluster
echo "search $*$swarm_others" >/.swarm/resolv.conf
"$swarm_box" chmod 666 /.swarm/resolv.conf 2>/dev/null || true
