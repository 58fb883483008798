# SPDX-License-Identifier: MIT
# bash completion for smfs(1)

_smfs()
{
	local options='ro scratch output= save=sync replace nolock log= save_ram base= ram= ram=direct
		writeback ram_limit= ram_offset=
		container_offset= uid= gid= umask= allow_other allow_root auto_unmount
		fsname= noatime nodev noexec nosuid'
	local words word previous list operands=0 i

	# Not COMP_WORDS: it is cut at each "=".  The x keeps an empty last word.
	read -ra words <<<"${COMP_LINE:0:COMP_POINT}x"
	word=${words[-1]%x}
	previous=${words[-2]}
	COMPREPLY=()

	if [[ $previous == -o && ${word##*,} == *=* ]]; then
		# A value.  Readline replaces what follows the "=".
		case ${word##*,} in
		output=* | base=* | ram=* | log=*)
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -- "${word##*=}")
			;;
		save=*)
			mapfile -t COMPREPLY < <(compgen -W sync -- "${word##*=}")
			;;
		esac
	elif [[ $previous == -o ]]; then
		# Readline's word starts after the last "=" and keeps earlier options.
		word=${word##*=}
		list=${word%"${word##*,}"}
		mapfile -t COMPREPLY < <(compgen -P "$list" -W "$options" -- "${word##*,}")
		[[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-f -d -h -V -o' -- "$word")
	else
		for ((i = 1; i < ${#words[@]} - 1; i++)); do
			case ${words[i]} in
			-o) i=$((i + 1)) ;;
			-*) ;;
			*) operands=$((operands + 1)) ;;
			esac
		done
		compopt -o filenames
		case $operands in
		0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		1) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
		esac
	fi
}

complete -F _smfs smfs
