# SPDX-License-Identifier: MIT
# bash completion for smsnap(1): its commands and options are asked of the program itself.

_smsnap()
{
	local word=${COMP_WORDS[COMP_CWORD]} words

	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		words=$("$1" --help 2>/dev/null | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words --help --version" -- "$word")
	elif [[ $word == -* ]]; then
		words=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null |
			sed -n 's/^  .*\(--[a-z][a-z-]*\).*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	else
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}

complete -F _smsnap smsnap
