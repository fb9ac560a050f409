# What a host does for this project: many commands in one go, each answered when it ends.
#
# For root this text itself comes over the connection; for another user it is installed as a
# program that sudo allows, and then root's list says what may be run. Needs GNU tools.
#
# The request, on standard input, is a line `PROTOCOL MARK WAY COUNT`; then for each command
# a line `SECONDS LINES BYTES`, its text in so many lines, so many bytes for it to read, `end`.
# WAY is `run` (one after the other) or `gather` (side by side: commands that only read).
# The answer is raw bytes between lines that begin with MARK, which no output holds by chance.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022

protocol=1
output_limit=67108864 # bytes of standard output that are answered of one command
error_limit=65536
most_at_once=32
allowed= # the list of what may be run; none: anything

# main: answer the request. main VERB WORDS: do that alone.
main() {
    load_list
    case ${1-} in
        '') serve ;;
        aside) shift && aside "$@" ;;
        *) call_verb "$@" ;;
    esac
}

# -- a request ---------------------------------------------------------------------------

serve() {
    read -r version mark way count || exit 2
    printf '%s start %s\n' "$mark" "$protocol"
    [ "$version" = "$protocol" ] || exit 2
    trap 'exit 1' HUP INT TERM PIPE
    open_folder
    index=0
    if [ "$way" = gather ]; then gather; else run_in_turn; fi
    printf '\n%s done\n' "$mark"
}

# In memory: what is read must not depend on a disk that is full or read-only.
open_folder() {
    for place in /run /dev/shm "${TMPDIR:-/tmp}"; do
        [ -w "$place" ] && folder=$(mktemp -d "$place/goldentooth.XXXXXX" 2>/dev/null) && break
    done
    [ -d "${folder-}" ] || broken "no folder in memory can be written"
    trap 'wait; rm -rf "$folder"' EXIT
}

receive() {
    read -r seconds lines size || exit 1
    IFS= read -r line || exit 1
    while [ "$lines" -gt 1 ]; do
        IFS= read -r part || exit 1
        line=$line$newline$part
        lines=$((lines - 1))
    done
    input=/dev/null
    if [ "$size" -gt 0 ]; then
        input=$folder/$index.in
        head -c "$size" >"$input" || broken "$folder cannot hold what was sent"
    fi
    read -r part && [ "$part" = end ] || exit 1 # it broke off: do nothing by halves
}

broken() {
    printf '\n%s broken %s\n' "$mark" "$1"
    exit 1
}

# -- commands side by side ---------------------------------------------------------------

gather() {
    bound=
    while [ "$index" -lt "$count" ]; do
        receive
        if [ "$seconds" != "$bound" ] || [ "$#" -ge $((3 * most_at_once)) ]; then
            side_by_side "$@"
            set --
            bound=$seconds
        fi
        set -- "$@" "$index" "$input" "$line"
        index=$((index + 1))
    done
    side_by_side "$@"
}

# side_by_side INDEX INPUT LINE ...: run the commands under one clock, answer what has ended.
side_by_side() {
    [ "$#" -gt 0 ] || return 0
    start_clock
    timeout -k 1 "$bound" /bin/sh -c "$program" goldentooth-host aside "$mark" "$folder" "$@" |
        answer_what_ends || exit 1
    read -r answered <"$folder/answered" || broken "$folder is full"
    while [ "$#" -gt 0 ]; do
        case " $answered " in
            *" $1 "*) ;;
            *) # the clock was faster, or something has killed it
                ending=
                was_ended "$bound" && ending=late
                { [ -s "$folder/$1.end" ] || conclude "$1" 137 "$ending"; } && answer "$1" ||
                    broken "$folder is full"
                ;;
        esac
        shift 3
    done
}

# The commands' processes, in a group that timeout(1) ends. They write into files, whose size the
# kernel bounds, so that no process is needed for it.
aside() {
    mark=$1
    folder=$2
    shift 2
    exec 8>&1 >/dev/null # for the index of each command that has ended, a line each
    ulimit -f $((output_limit / 512 + 1))
    trap : TERM # this shell, and those of the commands, stay until they have ended or are killed
    commands=
    while [ "$#" -gt 0 ]; do
        run_aside "$@" &
        commands="$commands $!"
        shift 3
    done
    { sleep 0.2 8>&- && echo late >&8; } &
    # shellcheck disable=SC2086  # numbers
    wait $commands
    kill "$!" 2>/dev/null
    until wait; do :; done # interrupted as often as the signal comes
}

run_aside() {
    is_late=
    trap 'is_late=late' TERM
    line=$3
    input=$2
    begin "$1" || return
    attempt >>"$folder/$1.out" 7>"$folder/$1.said" 8>&-
    status=$?
    [ -z "$is_late" ] && conclude "$1" "$status" "$refused" && echo "$1" >&8
}

# Answers in one go what ends at once, since most reads take less time than to start a process
# for the answer of each; when it is late, each when it ends.
answer_what_ends() {
    answered=
    waiting=
    is_late=
    while read -r one; do
        if [ "$one" = late ]; then is_late=late; else waiting="$waiting $one"; fi
        [ -z "$is_late" ] || answer_waiting
    done
    answer_waiting
    echo "$answered" >"$folder/answered" || broken "$folder is full"
}

answer_waiting() {
    # shellcheck disable=SC2086  # numbers
    [ -z "$waiting" ] || answer $waiting
    answered=$answered$waiting
    waiting=
}

# -- commands in turn --------------------------------------------------------------------

run_in_turn() {
    while [ "$index" -lt "$count" ]; do
        receive
        in_turn
        index=$((index + 1))
    done
}

# Through pipes, since a command that changes something may write large files. A daemon that it
# leaves behind may hold the pipes open; so they have an end in time too.
in_turn() {
    start_clock
    begin "$index" || broken "$folder is full"
    {
        {
            attempt within "$seconds"
            echo "$?" "$refused" >"$folder/$index.status"
        } | cut_off "$output_limit" >>"$folder/$index.out" 7>&-
    } 7>&1 | cut_off "$error_limit" >"$folder/$index.said"
    read -r status ending <"$folder/$index.status" || status=125
    case $status in 124 | 137) was_ended "$seconds" && ending=late ;; esac
    conclude "$index" "$status" "$ending" && answer "$index" || broken "$folder is full"
}

# within SECONDS WORDS: a verb needs a shell of its own, which timeout(1) can end.
within() {
    bound=$1
    shift
    [ "$1" != call_verb ] || { shift && set -- /bin/sh -c "$program" goldentooth-host "$@"; }
    timeout -k 1 "$bound" "$@"
}

cut_off() {
    timeout -k 1 "$((${seconds%%.*} + 2))" /bin/sh -c \
        'ulimit -f "$1"; cat; exec cat >/dev/null' sh "$(($1 / 512 + 1))" 2>/dev/null
}

# -- a command ---------------------------------------------------------------------------

# attempt [WRAPPER...]: do $line, with $input to read and 7 to complain to; $refused says whether
# that may not be. Not 2: there the shell itself says of a command that it was ended.
attempt() {
    refused=
    if ! may_run; then
        refused=refused
        echo "not in $allowed on this host: deploy the access service, or connect as root" >&7
        return 126
    fi
    case $line in
        @*)
            set -f
            # shellcheck disable=SC2086  # words
            set -- "$@" call_verb ${line#@}
            set +f
            "$@" <"$input" 2>&7 7>&-
            ;;
        *) "$@" /bin/sh -c "exec 2>&7 7>&-$newline$line" <"$input" ;;
    esac
}

start_clock() {
    read -r began _ </proc/uptime
}

# was_ended SECONDS: whether so much time is over; timeout's statuses could be the command's own.
was_ended() {
    read -r now _ </proc/uptime
    [ $((${now%%.*} - ${began%%.*})) -ge "${1%%.*}" ]
}

# begin INDEX, conclude INDEX STATUS ENDING: put between marks what a command says, and how it ended.
begin() {
    printf '\n%s out %s\n' "$mark" "$1" >"$folder/$1.out"
}

conclude() {
    {
        printf '\n%s err %s\n' "$mark" "$1" &&
            { [ ! -s "$folder/$1.said" ] || head -c "$error_limit" "$folder/$1.said"; } &&
            printf '\n%s end %s %s %s\n' "$mark" "$1" "$2" "$3"
    } >"$folder/$1.end"
}

# answer INDEX...: say what has been concluded.
answer() {
    for each; do
        shift
        set -- "$@" "$folder/$each.out" "$folder/$each.end"
    done
    cat "$@" || exit 1
}

# -- what may be done --------------------------------------------------------------------

load_list() {
    [ -z "$allowed" ] || list=$newline$(cat "$allowed" 2>/dev/null)$newline
}

# Whether $line may be run: a verb, which looks itself at what it is given, or a line of the list.
may_run() {
    [ -n "$allowed" ] || return 0
    case $line in @*) return 0 ;; esac
    if [ "$input" = /dev/null ]; then
        case $line in *"$newline"*) ;; *) is_listed "$line" && return ;; esac
    fi
    return 1
}

is_listed() {
    case $list in *"$newline$1$newline"*) return 0 ;; esac
    return 1
}

# Whether path $1 may be read: the list has it as `@path` or `@read`, or `@path` of a folder above
# it with a slash at its end.
may_read() {
    [ -n "$allowed" ] || return 0
    case $1/ in [!/]* | */./* | */../*) return 1 ;; esac
    is_listed "@path $1" || is_listed "@read $1" && return
    above=${1%/}
    while above=${above%/*} && [ -n "$above" ]; do
        is_listed "@path $above/" && return
    done
    return 1
}

# -- verbs: `@NAME WORDS` calls verb_NAME with the words, in a shell of its own ----------

# Others, such as @routes, are activations: what they are given has been looked at by @stage.
call_verb() (
    case $1 in
        files | write | collect | history | record | pristine) ;;
        lock | unlock | stage | backup | abort | arm | swap | activate | confirm | adopt | rollback) ;;
        *) echo "this host's program has no @$1" >&2 && exit 127 ;;
    esac
    verb=verb_$1
    shift
    "$verb" "$@"
)

