# The host's half of a deployment: POSIX sh, run as root. One function a verb.
#
# /var/lib/goldentooth/
#   applied/            what was last confirmed: manifest.json, files/<path>
#   key                 of the keyed hashes in the manifest
#   lock                who deploys here, and until when
#   deployments/<id>/   new/<path>, plan, activate, units, record/, program: as staged
#                       before/: what stood there, to go back to; state: one word
#   staged              -> deployments/<id>/new, under a name that does not change (for judges)
#   armed               -> deployments/<id>: unless it is confirmed, the host goes back by itself
#   rolled-back         why the host went back by itself; drift reports it
#   incoming.*          what is being received: nothing else looks there before it has been checked
#   mutex, step         one at a time changes something; the process group of a swap or activation
#
# Plan: a line a file, fields apart by tabs: put|remove, path, owner, mode, and the SHA-256 of what
# is there now, or `absent`: a file that has moved since the plan was made stops the swap.

installed=/usr/local/sbin/goldentooth-host
tab='	'
kept=10
boot_unit=goldentooth-rollback-boot.service
timer=goldentooth-rollback

hash_of() { # PATH
  if [ -L "$1" ]; then
    echo link
  elif [ -f "$1" ]; then
    sha256sum <"$1" | cut -d' ' -f1
  elif [ -e "$1" ]; then
    echo other
  else
    echo absent
  fi
}

is_id() {
  case $1 in '' | *[!A-Za-z0-9.-]* | .*) complain "not the name of a deployment: $1"; return 64 ;; esac
}

# One at a time changes something: a confirmation and the switch may come together.
alone() {
  mkdir -p -m 700 "$state" || return
  exec 9>"$state/mutex" && flock -w 20 9 || { complain "another step is under way on this host"; return 75; }
  rm -f "$state/step"
}

# alone_as_step: as alone, but the way back does not wait for it: see end_step.
alone_as_step() {
  alone && cut -d' ' -f5 <"/proc/$$/stat" >"$state/step"
}

# end_step: a swap or an activation that hangs must not outlive the switch, nor go on after it.
end_step() {
  [ -d "$state" ] || return 0
  exec 9>"$state/mutex"
  flock -n 9 && return
  read -r group <"$state/step" && [ "$group" -gt 1 ] && kill -s KILL -- "-$group"
  return 0
} 2>/dev/null

seconds_since_boot() { cut -d. -f1 </proc/uptime; }

# -- one file ---------------------------------------------------------------------------

# Writes a file whole or not at all: beside it, under a name that no `*` matches, synced, renamed.
# Its first three lines of input are path, user:group and mode; the rest is the file.
verb_write() {
    set -eu
    IFS= read -r path
    IFS= read -r owner
    IFS= read -r mode
    [ -z "$allowed" ] || is_listed "@file $path $owner $mode" || { echo "not in $allowed on this host" >&2 && exit 126; }
    parent=${path%/*}/
    mkdir -p "$parent"
    trap 'rm -f "${new-}"' EXIT
    new=$(mktemp "$parent.${path##*/}.XXXXXX")
    cat >"$new"
    chown "$owner" "$new"
    chmod "$mode" "$new"
    sync "$new"
    mv -fT "$new" "$path"
    sync "$parent"
}

# -- the record -------------------------------------------------------------------------

# @history: the kept deployments, newest last: name, state, when, by whom, and `same` if the record
# after it is as before: what was put back was not another state.
verb_history() {
  for folder in "$state"/deployments/*/; do
    [ -d "$folder" ] || continue
    id=${folder%/}
    same=
    ! cmp -s "$folder/before/applied/manifest.json" "$folder/record/manifest.json" || same=same
    printf '%s\t%s\t%s\t%s\n' "${id##*/}" "$(cat "$folder/state" 2>/dev/null)" \
      "$(cat "$folder/about" 2>/dev/null)" "$same"
  done
}

# @record ID: a tar of what was applied before that deployment; of what is, for `applied`.
verb_record() {
  is_id "$1" || return
  cd "$(record_before "$1")" 2>/dev/null || { complain "no record from before $1 is kept"; return 66; }
  LC_ALL=C tar --create manifest.json files
}

record_before() { # ID
  [ "$1" = applied ] && echo "$state/applied" || echo "$state/deployments/$1/before/applied"
}

# @pristine PATH...: those that are as their Debian package left them.
verb_pristine() {
  packaged=$(dpkg-query --show --showformat='${Conffiles}\n')
  for path; do
    [ -f "$path" ] && [ ! -L "$path" ] || continue
    sum=$(md5sum <"$path" | cut -d' ' -f1)
    ! printf '%s\n' "$packaged" | grep -Fxq -e " $path $sum" || printf '%s\n' "$path"
  done
}

# -- the lock ---------------------------------------------------------------------------

# @lock ID OWNER SECONDS: 75 and who has it, if somebody else does; 76 if the host is armed.
verb_lock() {
  is_id "$1" && alone || return
  boot=$(cat /proc/sys/kernel/random/boot_id) now=$(seconds_since_boot)
  is_armed && return 76
  if [ -s "$state/lock" ] && IFS=$tab read -r id owner since its_boot until <"$state/lock"; then
    if [ "$id" != "$1" ] && [ "$its_boot" = "$boot" ] && [ "${until:-0}" -gt "$now" ]; then
      complain "held by $owner since $since ($id), for $((until - now)) s more"
      return 75
    fi
  fi
  printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(date -u +%FT%TZ)" "$boot" "$((now + $3))" >"$state/lock.new" &&
    mv -f "$state/lock.new" "$state/lock" || { full; return; }
  whole_record
  rm -rf "$state"/incoming.* # nobody else can be receiving: who has the lock does
}

full() { complain "$state cannot be written: is the disk full or read-only?"; return 74; }

# @unlock ID
verb_unlock() {
  alone || return
  [ "$(cut -f1 <"$state/lock" 2>/dev/null)" != "$1" ] || rm -f "$state/lock"
}

# is_armed: and says of which deployment, and whose that is.
is_armed() {
  [ -L "$state/armed" ] || return
  armed=$(readlink "$state/armed") since='' by=''
  IFS=$tab read -r since by 2>/dev/null <"$state/armed/about"
  complain "armed: ${armed##*/}${by:+ of $by, since $since}; it is confirmed, or goes back by itself"
}

holds_lock() { # ID
  is_id "$1" || return
  [ "$(cut -f1 <"$state/lock" 2>/dev/null)" = "$1" ] || { complain "$1 does not hold the lock"; return 75; }
}

# -- before anything changes ------------------------------------------------------------

# @stage ID <tar: new/ plan activate units record/ key program about
# With a file `from` in place of new/ and record/: both are what was applied before that one.
verb_stage() {
  holds_lock "$1" || return
  folder=$state/deployments/$1
  take_in 'new|plan|activate|units|record|key|program|about|from' || return
  stage_may "$incoming" && stage_kept "$incoming" && record_may "$incoming/record" &&
    echo staged >"$incoming/state" && put_in "$folder" || return
  rm -rf "$state/scratch" && mkdir "$state/scratch" &&
    ln -sfn "deployments/$1/new" "$state/staged" && sync -f "$folder" && return
  rm -rf "$folder"
  return 74
}

# take_in NAMES: unpack the tar on standard input into $incoming, where no verb looks for anything;
# NAMES are what may be at its top, apart by bars.
take_in() {
  umask 077
  mkdir -p "$state/deployments" && incoming=$(mktemp -d "$state/incoming.XXXXXX") || { full; return; }
  trap 'rm -rf "$incoming"' EXIT
  tar --extract --touch --no-same-owner --no-same-permissions --directory="$incoming" &&
    only_files "$incoming" && only_named "$incoming" "$1" || return 74
}

# put_in FOLDER: what was taken in, and found right.
put_in() {
  rm -rf "$1" && mv -T "$incoming" "$1"
}

only_named() { # FOLDER NAMES
  for each in "$1"/* "$1"/.[!.]*; do
    [ -e "$each" ] || continue
    case "|$2|" in *"|${each##*/}|"*) ;; *) complain "unexpected: ${each##*/}"; return 77 ;; esac
  done
}

# Nothing is written or read through a link that somebody has put into the archive.
only_files() { # FOLDER
  odd=$(find "$1" ! -type f ! -type d -print -quit)
  [ -z "$odd" ] || { complain "not a plain file: $odd"; return 77; }
}

stage_kept() { # FOLDER
  [ -e "$1/from" ] || return 0
  from=$(cat "$1/from")
  is_id "$from" || return
  from=$(record_before "$from")
  [ -d "$from" ] || { complain "no record from before $(cat "$1/from") is kept"; return 66; }
  cp -a "$from" "$1/record" && mkdir "$1/new" || return
  while IFS=$tab read -r action path _; do
    [ "$action" = remove ] && continue
    mkdir -p "$1/new${path%/*}" && cp -a "$from/files$path" "$1/new$path" || return
  done <"$1/plan"
}

stage_may() { # FOLDER
  [ -n "${allowed-}" ] || return 0
  while IFS=$tab read -r action path owner mode _; do
    may "@path $path" || { complain "$path is not among the paths of $allowed"; return 77; }
    [ "$action" = remove ] || may "@file $path $owner $mode" ||
      { complain "$path as $owner with mode $mode is not in $allowed"; return 77; }
  done <"$1/plan"
  while IFS= read -r line; do
    may "$line" || { complain "\`$line\` is not in $allowed"; return 77; }
  done <"$1/activate"
  while IFS= read -r unit; do
    may "@unit $unit" || { complain "$unit is not among the units of $allowed"; return 77; }
  done <"$1/units"
  # what root runs at the switch's time is the installed program, not what was sent
  cp -- "$installed" "$1/program"
}

# record_may FOLDER: what the record names is read for whoever reads the record.
record_may() {
  [ -n "${allowed-}" ] && [ -d "$1/files" ] || return 0
  find "$1/files" -type f -printf '/%P\n' | while IFS= read -r path; do
    may "@path $path" || may "@read $path" || [ -f "$state/applied/files$path" ] ||
      { complain "$path is not among the paths of $allowed"; return 77; }
  done
}

# @backup ID: keep what the plan touches, and check that it is what the plan was made from.
# A copy: a hard link would count as a change of the file, which its daemon has not read. Only on a
# full disk it is one.
verb_backup() {
  holds_lock "$1" || return
  folder=$state/deployments/$1 before=$state/deployments/$1/before
  umask 077
  case $(cat "$folder/state" 2>/dev/null) in
    staged | backed-up) ;;
    *) complain "$1 is not staged"; return 70 ;;
  esac
  rm -rf "$before" && mkdir -p "$before/files" || return
  : >"$before/folders" || return
  while IFS=$tab read -r _ path _ _ expected; do
    found=$(hash_of "$path")
    [ "$found" != other ] || { complain "$path is neither a file nor a link"; return 73; }
    if [ "$found" != "$expected" ] && [ "$expected" != any ]; then
      complain "$path has changed since the plan was made"
      return 73
    fi
    if [ -e "$path" ] || [ -L "$path" ]; then
      mkdir -p "$before/files${path%/*}" || return
      cp -a -- "$path" "$before/files$path" 2>/dev/null ||
        { rm -f -- "$before/files$path" && cp -al -- "$path" "$before/files$path"; } || return
    fi
    into=${path%/*}
    while [ -n "$into" ] && [ ! -d "$into/" ]; do
      printf '%s\n' "$into" >>"$before/folders" || return
      into=${into%/*}
    done
  done <"$folder/plan"
  while IFS= read -r unit; do
    shown=$(systemctl show --property=ActiveState,UnitFileState "$unit") || return
    active=${shown#*ActiveState=} enabled=${shown#*UnitFileState=}
    printf '%s\t%s\t%s\n' "$unit" "${active%%"$newline"*}" "${enabled%%"$newline"*}"
  done <"$folder/units" >"$before/units" || return
  [ ! -d "$state/applied" ] || cp -a "$state/applied" "$before/applied" || return
  echo backed-up >"$folder/state" && sync -f "$folder"
}

# @abort ID: forget what was staged; nothing has been changed. What has been confirmed, or has been
# taken back, stays as it is kept; and so does what somebody else has staged.
verb_abort() {
  is_id "$1" && alone || return
  [ "$(readlink "$state/armed")" != "deployments/$1" ] || { complain "$1 is armed"; return 76; }
  unstage "$1"
  case $(cat "$state/deployments/$1/state" 2>/dev/null) in
    '' | staged | backed-up) rm -rf "$state/deployments/$1" ;;
  esac
}

unstage() { # ID
  [ "$(readlink "$state/staged")" != "deployments/$1/new" ] || rm -rf "$state/staged" "$state/scratch"
}

# -- the dead-man's switch --------------------------------------------------------------

# @arm ID SECONDS: from now on the host goes back by itself unless @confirm comes in time, after a
# reboot too. AccuracySec: timers are otherwise up to a minute late.
verb_arm() {
  holds_lock "$1" && alone || return
  folder=$state/deployments/$1
  ! is_armed || return 76
  [ "$(cat "$folder/state" 2>/dev/null)" = backed-up ] || { complain "$1 is not backed up"; return 70; }
  case ${2-} in '' | *[!0-9]*) complain "not a number of seconds: ${2-}"; return 64 ;; esac
  why="not confirmed within $2 s"
  # what says that it went back is there before the disk can be full
  printf 'deployment %s was taken back\n' "$1" >"$folder/taken-back" &&
  mkdir -p /etc/systemd/system/sysinit.target.wants &&
    boot_unit_text "$1" >"/etc/systemd/system/$boot_unit" &&
    ln -sfn "../$boot_unit" "/etc/systemd/system/sysinit.target.wants/$boot_unit" &&
    ln -sfn "deployments/$1" "$state/armed" &&
    sync -f "$folder" && sync -f "/etc/systemd/system/$boot_unit" || { disarm; full; return; }
  systemctl stop "$timer.timer" "$timer.service" 2>/dev/null
  systemd-run --quiet --collect --unit="$timer" --on-active="$2" --timer-property=AccuracySec=100ms \
    --property=Restart=on-failure --property=RestartSec=5 --property=StartLimitIntervalSec=0 \
    --property=SuccessExitStatus=70 \
    /bin/sh "$folder/program" rollback "$1" "$why" || { disarm; return 71; }
  # only now may it be swapped in
  echo armed >"$folder/state" && sync "$folder/state" || { disarm; full; }
}

boot_unit_text() { # ID
  cat <<END
[Unit]
Description=Back to the network's configuration before deployment $1, which nobody confirmed
DefaultDependencies=no
RequiresMountsFor=$state
After=local-fs.target systemd-remount-fs.service
Before=networking.service systemd-sysctl.service network-pre.target sysinit.target
ConditionPathIsSymbolicLink=$state/armed
StartLimitIntervalSec=0

[Service]
Type=oneshot
Restart=on-failure
RestartSec=5
SuccessExitStatus=70
ExecStart=/bin/sh $state/deployments/$1/program rollback $1 "the host was restarted before it was confirmed" boot
END
}

disarm() {
  rm -f "$state/armed" "/etc/systemd/system/sysinit.target.wants/$boot_unit" "/etc/systemd/system/$boot_unit"
  sync "$state/" # or a power cut now would arm it again
  # not from within the unit itself: it would end this very process
  [ "${INVOCATION_ID-}" ] || systemctl stop "$timer.timer" 2>/dev/null
  return 0
}

# -- the change -------------------------------------------------------------------------

# @swap ID: every file of the plan, each whole or not at all.
verb_swap() {
  is_id "$1" && alone_as_step || return
  folder=$state/deployments/$1
  [ "$(readlink "$state/armed")" = "deployments/$1" ] &&
    [ "$(cat "$folder/state")" = armed ] || { complain "$1 is not armed"; return 70; }
  while IFS=$tab read -r action path owner mode expected; do
    [ "$expected" = any ] || [ "$(hash_of "$path")" = "$expected" ] || {
      complain "$path has changed since the plan was made"
      return 73
    }
  done <"$folder/plan"
  # on the disk before the first file is: after a power cut it says whether to put files back
  echo swapping >"$folder/state" && sync "$folder/state" || return
  while IFS=$tab read -r action path owner mode _; do
    case $action in
      put) put "$folder/new$path" "$path" "$owner" "$mode" || return ;;
      remove) rm -f -- "$path" && sync "${path%/*}/" || return ;;
    esac
  done <"$folder/plan"
  echo swapped >"$folder/state"
}

# put FROM PATH OWNER MODE: beside it, synced, renamed. A link that stands there is replaced, not
# followed; extended attributes of the old file (SELinux labels) go to the new one.
put() {
  into=${2%/*}
  [ -d "$into/" ] || parent_folder "$into" || return
  new=$(mktemp "$into/.goldentooth-XXXXXX") || return
  if cat -- "$1" >"$new" && copy_attributes "$2" "$new" && chown -- "$3" "$new" &&
    chmod -- "$4" "$new" && sync -- "$new" && mv -fT -- "$new" "$2" && sync -- "$into/"; then
    return
  fi
  rm -f -- "$new"
  return 74
}

parent_folder() { # PATH: its parents too, root's, 0755
  (umask 022 && mkdir -p -- "$1")
}

copy_attributes() { # FROM TO
  [ ! -f "$1" ] || [ -L "$1" ] || cp --attributes-only --preserve=xattr -- "$1" "$2" 2>/dev/null || :
}

# @activate ID: the plan's commands, in order, to the first that fails.
verb_activate() {
  is_id "$1" && alone_as_step || return
  folder=$state/deployments/$1 old=$state/deployments/$1/before/files
  [ "$(cat "$folder/state" 2>/dev/null)" = swapped ] || { complain "$1 is not swapped in"; return 70; }
  : >"$folder/begun" && reload_units || return
  run_lines "$folder/activate" || return
  echo activated >"$folder/state"
}

run_lines() { # FILE
  failed=0
  while IFS= read -r line <&8; do
    case $line in
      @*) verb_${line#@} ;;
      *) sh -c "$line" 8<&- 9<&- </dev/null ;;
    esac || { failed=$?; complain "\`$line\` failed ($failed)"; [ "${2-}" = on ] || break; }
  done 8<"$1"
  return "$failed"
}

reload_units() { # only if there are new ones: it takes systemd a while
  ! grep -q "$tab/etc/systemd/" "$folder/plan" || systemctl daemon-reload
}

# @confirm ID: the change stays. The record of what is applied is the new one.
verb_confirm() {
  is_id "$1" && alone || return
  folder=$state/deployments/$1
  if [ "$(readlink "$state/armed")" != "deployments/$1" ]; then
    complain "$1 is not armed: $(cat "$folder/state" 2>/dev/null || echo unknown here)"
    return 70
  fi
  install_record "$folder" || return
  echo confirmed >"$folder/state" && sync -f "$folder" || return
  disarm
  unstage "$1"
  rm -rf "$state/rolled-back" "$folder/new"
  forget "$1"
}

# install_record FOLDER: its record and key are what is applied from now on.
install_record() {
  whole_record
  rm -rf "$state/applied.new" "$state/applied.old" && cp -a "$1/record" "$state/applied.new" &&
    sync -f "$state/applied.new" || return
  [ ! -s "$1/key" ] || cmp -s "$1/key" "$state/key" ||
    { cp "$1/key" "$state/key.new" && mv -f "$state/key.new" "$state/key"; } || return
  [ ! -d "$state/applied" ] || mv -T "$state/applied" "$state/applied.old" || return
  mv -T "$state/applied.new" "$state/applied" && rm -rf "$state/applied.old"
}

# whole_record: an adoption that was ended between two names has left the record under the old one.
whole_record() {
  [ -d "$state/applied" ] || [ ! -d "$state/applied.old" ] || mv -T "$state/applied.old" "$state/applied"
}

# forget ID: keep the last deployments only, beside that one: those that one can go back to, and as
# many of the others.
forget() {
  good=0 others=0
  # by name, which begins with the time on the controller: a host's clock may step back
  ls -1 "$state/deployments" | sort -r | while read -r id; do
    [ "$id" != "$1" ] || continue
    case $(cat "$state/deployments/$id/state" 2>/dev/null) in
      confirmed | adopted) number=$((good += 1)) ;;
      *) number=$((others += 1)) ;;
    esac
    [ "$number" -lt "$kept" ] || rm -rf "$state/deployments/$id"
  done
}

# @adopt ID <tar: record/ key about: what is there becomes the record; no file is touched.
verb_adopt() {
  holds_lock "$1" && alone || return
  ! is_armed || return 76
  folder=$state/deployments/$1
  take_in 'record|key|about' || return
  record_may "$incoming/record" || return
  if [ -d "$state/applied" ]; then
    mkdir "$incoming/before" && cp -a "$state/applied" "$incoming/before/applied" || return
  fi
  put_in "$folder" && install_record "$folder" && echo adopted >"$folder/state" &&
    sync -f "$folder" || return
  rm -f "$state/rolled-back"
  forget "$1"
}

# -- and back ---------------------------------------------------------------------------

# @rollback ID [WHY [boot]] [<why]: as it was before ID. May be broken off at any point and run again; that
# is done until every file is back. What cannot be made live then is told, not tried for ever.
verb_rollback() {
  is_id "$1" && end_step && alone || return
  folder=$state/deployments/$1 before=$state/deployments/$1/before old=$state/deployments/$1/new
  if [ "$(readlink "$state/armed")" != "deployments/$1" ]; then
    complain "$1 is not armed: $(cat "$folder/state" 2>/dev/null || echo unknown here)"
    return 70
  fi
  failed=0
  case $(cat "$folder/state") in
    backed-up | armed) ;; # what is there may be somebody's edit
    *) put_back_files ;;
  esac
  put_back_record || { failed=$?; complain "the record could not be put back"; }
  [ "$failed" = 0 ] || return 74
  why=${2:-$(head -c 1000 | tr -cd '[:print:]')}
  if [ "${3-}" = boot ]; then
    reload_units
    forget_units "$before/units"
  else
    go_back_live || why="$why; not all of it could be made live again: see the journal"
  fi
  printf 'deployment %s was taken back at %s: %s\n' "$1" "$(date -u +%FT%TZ)" "$why" \
    >"$folder/told" 2>/dev/null && mv -f "$folder/told" "$folder/taken-back"
  ln -f "$folder/taken-back" "$state/rolled-back" && mv -f "$folder/taken-back" "$folder/state" || return
  sync -f "$folder"
  logger -t goldentooth -p daemon.warning "deployment $1 was taken back: $why" 2>/dev/null
  disarm
  unstage "$1"
  [ "$(cut -f1 <"$state/lock" 2>/dev/null)" != "$1" ] || rm -f "$state/lock"
}

put_back_files() {
  while IFS=$tab read -r _ path _; do
    rm -f -- "${path%/*}"/.goldentooth-??????
    put_back "$before/files$path" "$path" || { failed=$?; complain "$path could not be put back"; }
  done <"$folder/plan"
  while IFS= read -r into; do rmdir -- "$into"; done <"$before/folders" 2>/dev/null
  return 0
}

put_back_record() {
  rm -rf "$state/applied.new"
  if [ ! -d "$before/applied" ]; then
    rm -rf "$state/applied"
  elif ! cmp -s "$before/applied/manifest.json" "$state/applied/manifest.json"; then
    cp -a "$before/applied" "$state/applied.new" && rm -rf "$state/applied" &&
      mv -T "$state/applied.new" "$state/applied"
  fi
}

# What was never made live is not disturbed by making the old live once more.
go_back_live() {
  reload_units
  unlive=0
  if [ -e "$folder/begun" ]; then
    run_lines "$folder/activate" on || run_lines "$folder/activate" on || unlive=1
  fi
  restore_units "$before/units"
  return "$unlive"
}

# put_back KEPT PATH: KEPT is in place again, or PATH is gone if nothing was kept. With no space
# left a link takes the place of the copy.
put_back() {
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    # a folder that somebody has made there is none of ours
    [ ! -e "$2" ] || { [ -d "$2" ] && [ ! -L "$2" ]; } || rm -f -- "$2"
    return
  fi
  [ ! "$1" -ef "$2" ] || return 0
  # what was not swapped is left alone: its daemon has read it as it is
  if [ -f "$2" ] && [ ! -L "$1" ] && [ ! -L "$2" ] && cmp -s -- "$1" "$2" &&
    [ "$(stat -c '%u:%g %a %Y' -- "$1")" = "$(stat -c '%u:%g %a %Y' -- "$2")" ]; then
    return
  fi
  new=${2%/*}/.goldentooth-back
  rm -f -- "$new"
  { cp -a -- "$1" "$new" && { [ -L "$new" ] || sync -- "$new"; }; } 2>/dev/null || { rm -f -- "$new" && ln -- "$1" "$new"; } || return
  mv -fT -- "$new" "$2" && sync "${2%/*}/"
}

restore_units() { # FILE: what did not run before does not run after
  while IFS=$tab read -r unit active enabled; do
    case $enabled in enabled*) ;; *) systemctl --quiet disable "$unit" 2>/dev/null ;; esac
    case $active in active | activating | reloading) ;; *) systemctl stop "$unit" ;; esac
  done <"$1"
}

forget_units() { # FILE: before they start
  while IFS=$tab read -r unit _ enabled; do
    case $enabled in enabled*) ;; *) systemctl --quiet disable "$unit" 2>/dev/null ;; esac
  done <"$1"
}

# -- activations that a shell line is too short for --------------------------------------

routes_of() { # FILE: a route a line, as ip-route(8) takes it
  [ -f "$1" ] || return 0
  device=$(sed -n 's/^iface \([^ ]*\) .*/\1/p' "$1" | head -n 1)
  sed -n 's/^ *up *ip -4 route replace \(.*\)/\1/p' "$1"
  sed -n "s/^ *gateway  *\\([0-9.]*\\).*/default via \\1 dev $device onlink/p" "$1"
}

# @routes FILE: the routes of an ifupdown file, without taking the interface down; and none that
# only the file before had.
verb_routes() {
  routes_of "$1" | while IFS= read -r route; do
    ip -4 route replace $route || exit
  done || return
  routes_of "$old$1" | while IFS= read -r route; do
    routes_of "$1" | cut -d' ' -f1 | grep -Fxq -e "${route%% *}" || ip -4 route delete $route 2>/dev/null
  done
  return 0
}

# @sysctl FILE: load it; a value that only this deployment has set goes back with it.
verb_sysctl() {
  values=$folder/before/sysctl
  if [ "$old" = "$folder/before/files" ]; then
    sed -n 's/^ *\([a-z][^= ]*\) *=.*/\1/p' "$1" 2>/dev/null | while IFS= read -r key; do
      grep -q "^ *$key *=" "$old$1" 2>/dev/null || printf '%s=%s\n' "$key" "$(sysctl -n "$key")"
    done >"$values"
  elif [ -s "$values" ]; then
    sysctl --quiet --load="$values"
  fi
  [ ! -e "$1" ] || sysctl --quiet --load="$1"
}
