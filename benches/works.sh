# Sourced by the scripts that take `[TURNS [WORK...]]`, once they have set `works`, an array of
# lines that begin with the name of a work. Sets `turns`, and `table`, the lines that were asked for; ends the script
# with its usage when that makes no sense.

usage() {
    echo "usage: ${0##*/} [TURNS [WORK...]]" >&2
    printf 'WORK: %s\n' "$(printf '%s ' "${works[@]%% *}")" >&2
    exit 2
}

turns=${1:-5}
[[ $turns =~ ^[1-9][0-9]*$ ]] || usage
table=()
for work in "${@:2}"; do
    for line in "${works[@]}"; do
        [[ ${line%% *} == "$work" ]] && table+=("$line") && continue 2
    done
    usage
done
[[ ${#table[@]} -gt 0 ]] || table=("${works[@]}")
