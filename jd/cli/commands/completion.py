"""`jd_worker_cli completion bash|zsh|fish`: a script that makes the shell ask this program.

Each script calls `completion words` with the words up to the cursor and offers what it answers; see
`jd.cli.completing`.
"""

from jd import program
from jd.cli.context import Context
from jd.errors import UsageError
from jd.protocol import shown

# Bash takes words apart at the characters of COMP_WORDBREAKS, which has `=` and `:`. What stands
# together in the line is put together again, and what bash regards as done is cut off the answers.
# Bash 3.2 (macOS) has no mapfile and no compopt: spaces after whole words are added here.
_BASH = r"""# Completion of jd_worker_cli for bash.
# source <(jd_worker_cli completion bash), or save it as
# ~/.local/share/bash-completion/completions/jd_worker_cli

_jd_worker_cli() {
    local words=() rest=$COMP_LINE word cur prefix="" breaks="" i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $i -gt 0 && $rest != [[:space:]]* ]]; then
            words[${#words[@]}-1]+=$word
        else
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("$word")
        fi
        rest=${rest#"$word"}
    done
    cur=${words[${#words[@]}-1]}
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+="="
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=":"
    if [[ -n $breaks && $cur == *[$breaks]* ]]; then
        prefix=${cur%"${cur##*[$breaks]}"}
    fi
    COMPREPLY=()
    while IFS= read -r word; do
        [[ $word == *[=/] ]] || word+=" "
        word=${word#"$prefix"}
        if [[ $cur != *[\'\"]* && ${word% } == *[!A-Za-z0-9_.,:=/~@%+-]* ]]; then
            printf -v rest %q "${word% }"
            word=$rest${word#"${word% }"}
        fi
        COMPREPLY+=("$word")
    done < <("${words[0]}" completion words "${words[@]:1}" 2>/dev/null)
}
complete -o nospace -F _jd_worker_cli @COMMAND@
"""

_ZSH = r"""#compdef @COMMAND@
# Completion of jd_worker_cli for zsh. Save it as _jd_worker_cli in a directory of $fpath, or
# after compinit: source <(jd_worker_cli completion zsh)

_jd_worker_cli() {
    local -a answers open whole
    local answer
    answers=("${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT-1]}" "$PREFIX" \
        2>/dev/null)}")
    for answer in "${answers[@]}"; do
        case $answer in
            '') ;;
            *[=/]) open+=("$answer") ;;
            *) whole+=("$answer") ;;
        esac
    done
    (( ${#open} )) && compadd -S '' -- "${open[@]}"
    (( ${#whole} )) && compadd -- "${whole[@]}"
    (( ${#open} + ${#whole} ))
}

if [[ ${funcstack[1]} == _jd_worker_cli ]]; then
    _jd_worker_cli "$@"
else
    compdef _jd_worker_cli @COMMAND@
fi
"""

_FISH = r"""# Completion of jd_worker_cli for fish. Save it as
# ~/.config/fish/completions/jd_worker_cli.fish

function __jd_worker_cli_words
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    $program completion words $words (commandline -ct) 2>/dev/null
end
complete -c @COMMAND@ -f -a '(__jd_worker_cli_words)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def run(context: Context) -> int:
    """Print the script for a shell. Raises UsageError."""
    (shell,) = context.words_exactly(1)
    if shell not in SCRIPTS:
        raise UsageError("there is no completion for %s" % shown(shell), "give %s" % " or ".join(SCRIPTS))
    print(script(shell), end="")
    return 0


def script(shell: str) -> str:
    """The script for a shell, for the name that this program has as a command."""
    import shlex
    return SCRIPTS[shell].replace("@COMMAND@", shlex.quote(program.name()))
