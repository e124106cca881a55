// Command polyinst is the administrator's tool of pam_polyinst: it answers with
// the very functions that the module uses.
package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/observe"
)

// version is set by the build.
var version = "unknown"

// Exit codes, as polyinst(8) documents them.
const (
	exitFound = 1 // problems were found, or something could not be done
	exitUsage = 2 // the command line is wrong
)

// errReported says that the problems are on stderr already.
var errReported = errors.New("")

func main() {
	if os.Getenv("PATH") == "" { // as under env -i: getent and journalctl are looked for
		_ = os.Setenv("PATH", plainPath)
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := &cobra.Command{
		Use:               "polyinst",
		Short:             "private directories per session: check, prepare, look, clean up",
		Example:           `polyinst COMMAND [flags] [arguments]`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              noSuchCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cobra.AddTemplateFunc("optionalValues", optionalValues)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(helpTemplate)
	root.SetHelpCommand(helpCommand(root))
	root.SetArgs(args)
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error { return emptyWord(cmd, args) }
	usage := false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { usage = true; return flagError(cmd, err) })
	root.AddCommand(enableCommand(), confirmCommand(), disableCommand(), statusCommand(), doctorCommand(), rehearseCommand(), rollbackCommand(),
		checkCommand(), editCommand(), explainCommand(), tryCommand(), prepareCommand(), renameCommand(), listCommand(), enterCommand(),
		realCommand(), gcCommand(), metricsCommand(), reportCommand(), watchCommand(), serveCommand(), serveWorkerCommand(), convertCommand(), completionCommand())
	complete(root)
	root.SetOut(stdout)
	err := root.Execute()
	if lost := stdout.finish(); lost != nil {
		if err == nil || errors.Is(err, errReported) {
			err = lost
		} else {
			err = fmt.Errorf("%w; %w", err, lost)
		}
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFound
	}
	fmt.Fprintln(os.Stderr, "polyinst:", words(err))
	var wrong usageError
	if usage || errors.As(err, &wrong) {
		return exitUsage
	}
	return exitFound
}

func init() { cobra.EnableCommandSorting = false } // they stand in the order in which one needs them

// helpTemplate fits a screen of 80 columns and 24 lines for every command;
// TestHelp holds that.
const helpTemplate = `{{with .Long}}{{. | trimTrailingWhitespaces}}

{{end}}{{if .HasAvailableSubCommands}}Usage: {{.Example}}

{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name 11}}{{.Short}}
{{end}}{{end}}
--help of a COMMAND says more. Exit status: 0 well, 1 something is not, 2 usage.
{{else}}Usage: {{.UseLine}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | optionalValues | trimTrailingWhitespaces}}
{{end}}{{end}}`

// optionalValues writes a flag whose value can be left out as the manual does,
// --pam[=DIR], in as many columns.
func optionalValues(usages string) string {
	return valueLeftOut.ReplaceAllStringFunc(usages, func(s string) string {
		m := valueLeftOut.FindStringSubmatch(s)
		flag := m[1] + "[=" + m[2] + "]"
		return flag + strings.Repeat(" ", max(0, len(s)-len(flag)))
	})
}

var valueLeftOut = regexp.MustCompile(`(--[a-z-]+) ([A-Z]+)\[="[^"]*"\]`)

// helpCommand is "polyinst help COMMAND".
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "the help of a command",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("one command at most, not %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil {
				return usageError{err}
			}
			if cmd == root && len(args) > 0 {
				return noSuchCommand(root, args)
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}

func completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash": func(root *cobra.Command) error { return root.GenBashCompletionV2(stdout, true) },
		"zsh":  func(root *cobra.Command) error { return root.GenZshCompletion(stdout) },
		"fish": func(root *cobra.Command) error { return root.GenFishCompletion(stdout, true) },
	}
	return &cobra.Command{
		Use:    "completion bash|zsh|fish",
		Hidden: true, // it is for packages
		Short:  "print what makes the shell complete commands and names",
		Long:   `Completion prints a script for the shell. The packages install all three.`,
		Example: `  polyinst completion bash > /etc/bash_completion.d/polyinst
  polyinst completion zsh > "${fpath[1]}/_polyinst"
  source <(polyinst completion bash)        in this shell only`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return usageError{errors.New("which shell? polyinst completion bash|zsh|fish")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return shells[args[0]](cmd.Root()) },
	}
}

// words is an error for people. Several errors are as many lines, and nothing in one
// of them makes another line: a path may be one that a user chose.
func words(err error) string {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var texts, lines []string
		for _, e := range several.Unwrap() {
			texts, lines = append(texts, e.Error()), append(lines, words(e))
		}
		if strings.Join(texts, "\n") == err.Error() { // errors.Join
			return strings.Join(lines, "\n")
		}
	}
	return printable(err.Error())
}

// usageError is a wrong command line.
type usageError struct{ error }

// noSuchCommand is for words that are no command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usageError{fmt.Errorf("unknown command %q%s", args[0], meant(args[0], names, "; polyinst --help lists them"))}
}

// meant is a hint with the word that is nearest to a mistyped one, or else
// instead.
func meant(word string, words []string, instead string) string {
	if near := config.Nearest(word, words); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return instead
}

// flagError adds to an error of the flags where help is.
func flagError(cmd *cobra.Command, err error) error {
	help := "; " + cmd.CommandPath() + " --help lists the flags"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		help = meant(unknown.GetSpecifiedName(), names, help)
		if strings.HasSuffix(help, "?") {
			help = strings.Replace(help, `mean "`, `mean "--`, 1)
		}
	}
	what := err.Error()
	for _, of := range []string{": strconv.", ": time: "} { // Go's words for a value of another type
		what, _, _ = strings.Cut(what, of)
	}
	return errors.New(what + help)
}

// noSuchAccount is a refusal of a name that the directory does not know, with
// the one that was perhaps meant.
func noSuchAccount(name string) error {
	return fmt.Errorf("the account %q does not exist%s", name, meant(name, accounts(), ""))
}

// users completes the name of an account.
func users(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, name := range accounts() {
		if len(args) == 0 && strings.HasPrefix(name, begin) {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// emptyWord refuses a flag without a value and an empty argument, as an empty variable of
// a script makes them: the command would do what it does without them.
func emptyWord(cmd *cobra.Command, args []string) (err error) {
	if cmd.DisableFlagParsing {
		return nil // a shell asks what completes a word, which may be empty
	}
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		args = args[:n] // the rest is another command's
	}
	if slices.Contains(args, "") {
		err = usageError{fmt.Errorf("an argument is empty: %s", cmd.UseLine())}
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if several, ok := f.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		if slices.Contains(values, "") {
			err = usageError{fmt.Errorf("--%s: there is nothing behind it; %s --help lists the flags", f.Name, cmd.CommandPath())}
		}
	})
	return err
}

// serviceName refuses what is no name of a PAM service.
func serviceName(flag, name string) error {
	if name == "" || strings.ContainsRune(name, '/') || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, unicode.IsControl) {
		return usageError{fmt.Errorf("--%s: %q is no name of a service", flag, name)}
	}
	return nil
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("one file at most, not %d", len(args))}
	}
	return nil
}

func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// load reads and checks the configuration, and prints what is wrong with it.
func load(conf string, trusted bool) (*config.Config, observe.Files, error) {
	c, files, problems, err := read(conf, trusted)
	tellProblems(problems)
	if len(problems) > 0 {
		return nil, files, errReported
	}
	return c, files, err
}

// read reads and checks the configuration; problems are what is wrong in it, err
// is why it cannot be read at all.
func read(conf string, trusted bool) (*config.Config, observe.Files, config.Problems, error) {
	files, err := observe.ConfigFiles(conf, trusted)
	if err != nil {
		return nil, files, nil, observe.NoConfiguration(err, conf)
	}
	c, problems := config.Parse(files.Main, files.Dropins)
	return c, files, problems, nil
}

func confFlag(cmd *cobra.Command, conf *string) {
	cmd.Flags().StringVar(conf, "conf", "", "another main `FILE`, as conf= on the PAM line")
}
