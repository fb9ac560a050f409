# The reading half of the program on a host: many commands that only read, side by side, each
# answered when it ends. In sh, which starts in a millisecond. Needs GNU tools.
#
# Root is sent it over the connection; for another user the installed program (serve.py) has
# checked the request, and writes it anew. What a request and an answer are is in request.py.
#
# Nothing that is received is evaluated: a word is used once it has matched its form, to its end.

cd / && unset OLDPWD
umask 022

state=/var/lib/goldentooth
protocol=2
output_limit=67108864 # bytes of standard output that are answered of one command
error_limit=65536
most_at_once=32
newline='
'

# main: answer the request. main VERB: do that alone.
main() {
    case ${1-} in
        '') serve ;;
        aside) shift && aside "$@" ;;
        files) verb_files ;;
        collect) verb_collect ;;
    esac
}

# -- a request ---------------------------------------------------------------------------

serve() {
    read -r version mark way count || exit 2
    is_mark "$mark" || exit 2
    printf '%s start %s\n' "$mark" "$protocol"
    case $version in "$protocol") ;; *) exit 2 ;; esac
    case $way in gather) ;; *) broken malformed ;; esac
    is_number "$count" && [ "$count" -le 1000 ] || broken malformed
    trap 'exit 1' HUP INT TERM PIPE
    open_folder
    gather
    printf '\n%s done\n' "$mark"
}

is_mark() {
    case $1 in '' | *[!A-Za-z0-9-]*) return 1 ;; esac
    [ "${#1}" -le 64 ]
}

# is_number WORD: up to nine digits; not 08, which is no number to a shell.
is_number() {
    case $1 in '' | *[!0-9]* | 0?* | ??????????*) return 1 ;; esac
}

# is_seconds WORD: more than none, less than a day; up to three digits may follow a dot.
is_seconds() {
    case $1 in
        *.*.* | *. | *.????*) return 1 ;;
        *[1-9]*) ;;
        *) return 1 ;;
    esac
    case ${1#*.} in *[!0-9]*) return 1 ;; esac
    is_number "${1%%.*}" && [ "${1%%.*}" -le 86399 ]
}

# In memory: what is read must not depend on a disk that is full or read-only.
open_folder() {
    for place in /run /dev/shm /tmp; do
        [ -w "$place" ] && folder=$(mktemp -d "$place/goldentooth.XXXXXX" 2>/dev/null) && break
    done
    [ -d "${folder-}" ] || broken no-room
    trap 'wait; rm -rf "$folder"' EXIT
}

receive() {
    read -r seconds lines size || broken cut-off
    is_seconds "$seconds" && is_number "$lines" && is_number "$size" || broken malformed
    [ "$lines" -ge 1 ] && [ "$lines" -le 1000 ] && [ "$size" -le 134217728 ] || broken malformed
    IFS= read -r line || broken cut-off
    while [ "$lines" -gt 1 ]; do
        IFS= read -r part || broken cut-off
        line=$line$newline$part
        lines=$((lines - 1))
    done
    input=/dev/null
    if [ "$size" -gt 0 ]; then
        input=$folder/$index.in
        head -c "$size" >"$input" || broken full
    fi
    read -r part || broken cut-off
    case $part in end) ;; *) broken malformed ;; esac
}

broken() {
    printf '\n%s broken %s\n' "$mark" "$1"
    exit 1
}

# -- commands side by side ---------------------------------------------------------------

gather() {
    bound=
    index=0
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
    read -r answered <"$folder/answered" || broken full
    while [ "$#" -gt 0 ]; do
        case " $answered " in
            *" $1 "*) ;;
            *) # the clock was faster, or something has killed it
                ending=
                was_ended "$bound" && ending=late
                { [ -s "$folder/$1.end" ] || conclude "$1" 137 "$ending"; } && answer "$1" ||
                    broken full
                ;;
        esac
        shift 3
    done
}

start_clock() {
    read -r began _ </proc/uptime
}

# was_ended SECONDS: whether so much time is over; timeout's statuses could be the command's own.
was_ended() {
    read -r now _ </proc/uptime
    [ $((${now%%.*} - ${began%%.*})) -ge "${1%%.*}" ]
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
    input=$2
    line=$3
    begin "$1" || return
    attempt >>"$folder/$1.out" 7>"$folder/$1.said" 8>&-
    status=$?
    [ -z "$is_late" ] && conclude "$1" "$status" "$refused" && echo "$1" >&8
}

# attempt: do $line, with $input to read and 7 to complain to. Not 2: there the shell itself says
# of a command that it was ended.
attempt() {
    refused=
    case $line in
        @files) (verb_files) <"$input" 2>&7 7>&- ;;
        @collect) (verb_collect) <"$input" 2>&7 7>&- ;;
        @refused) # in the place of a command that is not in root's list; what it reads says so
            refused=refused
            cat <"$input" >&7
            return 126
            ;;
        @*)
            printf "this host's program has no %s among its reads\n" "${line%% *}" >&7
            return 127
            ;;
        *) /bin/sh -c "exec 2>&7 7>&-$newline$line" <"$input" ;;
    esac
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
    echo "$answered" >"$folder/answered" || broken full
}

answer_waiting() {
    # shellcheck disable=SC2086  # numbers
    [ -z "$waiting" ] || answer $waiting
    answered=$answered$waiting
    waiting=
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

# -- files: their paths are what is read, one a line --------------------------------------

# Prints the files as a tar archive. A path that ends in a slash is a folder with all that is in
# it. What is not there is left out.
verb_files() {
    while IFS= read -r path; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        case $path in
            [!/]*) ;;
            */) find "$path" -print0 ;;
            *) printf '%s\0' "$path" ;;
        esac
    done | tar -c -f - --format=pax --pax-option=delete=atime,delete=ctime -P --no-recursion \
        --hard-dereference --quoting-style=literal --null --verbatim-files-from -T -
}

# A tar of the files, of the record and of what the record names. A path that ends in a slash
# stands for the files in that folder.
verb_collect() {
    name_collected | tar --create --no-recursion --absolute-names --ignore-failed-read \
        --warning=no-file-changed --null --verbatim-files-from --files-from=-
}

name_collected() {
    named=$newline
    while IFS= read -r path; do
        case $path in
            [!/]*) ;;
            */) name_folder "${path%/}" ;;
            *) name "$path" ;;
        esac
    done
    [ ! -f "$state/state.json" ] || name_record
}

# name_folder FOLDER: the files in it.
name_folder() {
    [ -d "$1" ] || return 0
    [ -r "$1" ] && [ -x "$1" ] || complain_of "$1" "Cannot open: Permission denied"
    for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$file" ] || { [ -e "$file" ] && [ ! -d "$file" ]; }; then name "$file"; fi
    done
}

# The state, and the record that it names: ` "applied": "deployments/ID/record",`, a line of its own.
name_record() {
    name "$state/state.json"
    record=
    while IFS= read -r key; do
        case $key in ' "applied": "'*) record=${key#' "applied": "'} && break ;; esac
    done <"$state/state.json"
    record=${record%%\"*}
    case $record in '' | /* | *..* | *[!A-Za-z0-9./-]*) return ;; esac
    record=$state/$record
    for file in "$record/manifest.json" "$record/key"; do
        [ ! -f "$file" ] || name "$file"
    done
    name_copies "$record/files"
}

# name_copies FOLDER: the copies of what was applied, and where those files are.
name_copies() {
    for copy in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$copy" ]; then
            continue
        elif [ -d "$copy" ]; then
            name_copies "$copy"
        elif [ -f "$copy" ]; then
            name "$copy"
            name "${copy#"$record/files"}"
        fi
    done
}

# name PATH: once.
name() {
    case $named in *"$newline$1$newline"*) return ;; esac
    named=$named$1$newline
    printf '%s\0' "$1"
    # of a file that says it is empty tar reads nothing, so it would not see an error
    [ ! -f "$1" ] || [ -s "$1" ] || why=$(head -c 1 -- "$1" 2>&1 >/dev/null) ||
        complain_of "$1" "Cannot read: ${why##*: }"
}

complain_of() { # PATH WHY
    printf 'tar: %s: %s\n' "$1" "$2" >&2
}
