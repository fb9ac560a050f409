# What every part of the program uses: the folder of the host's record, complaints, root's list.

state=${GOLDENTOOTH_STATE:-/var/lib/goldentooth}
newline='
'

complain() { echo "$*" >&2; }

# may LINE: a user who came by sudo may only do what root has listed.
may() {
    [ -n "${allowed-}" ] || return 0
    case $1 in *"$newline"*) return 1 ;; esac
    is_listed "$1"
}

