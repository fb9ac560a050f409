# The verbs that read files: all of a run's that look at a host, so that no more is sent for them.

# Prints the files, one name a line of input, as a tar archive. A name that ends in a slash is
# a folder with all that is in it. What is not there is left out.
verb_files() {
    while IFS= read -r path; do
        if ! may_read "$path"; then
            echo "tar: $path: Cannot open: not in $allowed on this host" >&2
        elif [ -e "$path" ] || [ -L "$path" ]; then
            case $path in
                */) find "$path" -print0 ;;
                *) printf '%s\0' "$path" ;;
            esac
        fi
    done | tar -c -f - --format=pax --pax-option=delete=atime,delete=ctime -P --no-recursion \
        --hard-dereference --quoting-style=literal --null --verbatim-files-from -T -
}

# @collect PATH...: a tar of PATHs, of the record and of what the record names. A PATH that ends
# with a slash stands for the files in that folder.
verb_collect() {
    for path; do
        may "@path $path" || may "@read $path" ||
            { complain "$path is not among the paths of $allowed"; return 77; }
    done
    name_collected "$@" | tar --create --no-recursion --absolute-names --ignore-failed-read \
        --warning=no-file-changed --null --verbatim-files-from --files-from=-
}

name_collected() {
    named=$newline
    for path; do
        case $path in
            */) name_folder "${path%/}" ;;
            *) name "$path" ;;
        esac
    done
    for path in "$state/applied/manifest.json" "$state/key" "$state/rolled-back"; do
        [ ! -f "$path" ] || name "$path"
    done
    name_record "$state/applied/files"
}

# name_folder FOLDER: the files in it.
name_folder() {
    [ -d "$1" ] || return 0
    [ -r "$1" ] && [ -x "$1" ] || complain "tar: $1: Cannot open: Permission denied"
    for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$file" ] || { [ -e "$file" ] && [ ! -d "$file" ]; }; then name "$file"; fi
    done
}

# name_record FOLDER: the copies of what was applied, and where those files are.
name_record() {
    for copy in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -L "$copy" ]; then
            continue
        elif [ -d "$copy" ]; then
            name_record "$copy"
        elif [ -f "$copy" ]; then
            name "$copy"
            name "${copy#"$state/applied/files"}"
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
        echo "tar: $1: Cannot read: ${why##*: }" >&2
}

