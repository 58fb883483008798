# SPDX-License-Identifier: MIT
# bash completion for smsnap(1)

_smsnap()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local options

	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		mapfile -t COMPREPLY < <(compgen -W 'dump build fields -h -V' -- "$word")
		return
	fi
	case ${COMP_WORDS[1]} in
	dump) options='--ram-offset --container-offset' ;;
	build) options='-o --ram' ;;
	*) return ;;
	esac
	case $previous in
	--ram-offset | --container-offset) return ;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}

complete -F _smsnap smsnap
