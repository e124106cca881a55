package main

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
)

func editCommand() *cobra.Command {
	var conf string
	cmd := &cobra.Command{
		Use:   "edit [NAME.conf]",
		Short: "edit the configuration; what is broken is not saved",
		Long: `Edit opens a copy of the main file, or of the drop-in NAME.conf of namespace.d,
in $SUDO_EDITOR, $VISUAL, $EDITOR or vi, and checks the result as check does.
What is broken is never saved. What is saved takes the place of the old file in
one step, and is kept as the last good configuration (config_error=last-good).`,
		Example: `  polyinst edit
  polyinst edit 10-students.conf
  EDITOR=nano polyinst edit`,
		Args: atMostOne,
		ValidArgsFunction: func(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
			return dropins(conf, args, begin), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needUID0("edit"); err != nil {
				return err
			}
			return edit(conf, strings.Join(args, ""))
		},
	}
	confFlag(cmd, &conf)
	return cmd
}

// confDir is the directory of the configuration.
func confDir(conf string) string {
	if conf == "" {
		return observe.ConfigDir
	}
	return filepath.Dir(conf)
}

func dropins(conf string, args []string, begin string) []string {
	found, _ := filepath.Glob(filepath.Join(observe.InitDir(conf), "*.conf"))
	var names []string
	for _, path := range found {
		if name := filepath.Base(path); len(args) == 0 && strings.HasPrefix(name, begin) {
			names = append(names, name)
		}
	}
	return names
}

// draft is a configuration of which one file is being edited.
type draft struct {
	conf   string // as --conf says
	path   string // of the file
	dropin bool
	temp   string // the copy
	old    []byte // nil: the file is not there yet
}

// dropinName refuses a name under which nobody reads a drop-in.
func dropinName(name, dir string) error {
	if strings.ContainsRune(name, '/') || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".conf") || strings.ContainsFunc(name, unicode.IsControl) {
		return usageError{fmt.Errorf("%q is no name of a drop-in: want NAME.conf, which lies in %s", name, dir)}
	}
	return nil
}

func edit(conf, name string) error {
	if conf != "" {
		var err error
		if conf, err = filepath.Abs(conf); err != nil {
			return err
		}
	}
	d := draft{conf: conf, path: cmp.Or(conf, filepath.Join(observe.ConfigDir, "namespace.conf"))}
	if name != "" && name != filepath.Base(d.path) {
		if err := dropinName(name, observe.InitDir(conf)); err != nil {
			return err
		}
		d.path, d.dropin = filepath.Join(observe.InitDir(conf), name), true
	}
	lock, err := lockConfig(confDir(conf))
	if err != nil {
		return err
	}
	defer lock.Close()
	// files that others could change are no base to build on
	if _, err := observe.ConfigFiles(conf, true); err != nil && !dirfd.IsNotExist(err) {
		return err
	}
	dir, err := os.MkdirTemp("/run", "polyinst-edit.")
	if err != nil {
		return err
	}
	kept, err := d.inDirectory(dir)
	if kept {
		fmt.Fprintf(os.Stderr, "polyinst: nothing is saved; your text is %s\n", d.temp)
	} else {
		_ = os.RemoveAll(dir)
	}
	return err
}

// editLock is what an edit holds: a directory that only root can open. Whoever can
// open a lock can hold it, and everybody can open the configuration's directory.
const editLock = "polyinst.edit"

// lockConfig keeps a second edit out; dir is for the message.
func lockConfig(dir string) (dirfd.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dirfd.File{}, err
	}
	f, err := openLock(editLock)
	if err != nil {
		return f, err
	}
	if mine, err := f.TryLock(dirfd.Exclusive); !mine {
		f.Close()
		return f, errors.Join(err, fmt.Errorf("%s: another polyinst edit is at work", dir))
	}
	return f, nil
}

// inDirectory edits a copy in the directory until it is saved or given up; kept
// says that the copy stays for its author.
func (d *draft) inDirectory(dir string) (kept bool, err error) {
	if d.path, err = realPath(d.path); err != nil {
		return false, err
	}
	text, err := os.ReadFile(d.path)
	switch {
	case err == nil:
		d.old = text
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case d.dropin:
	default:
		text = []byte(beginning)
	}
	d.temp = filepath.Join(dir, filepath.Base(d.path))
	if err := os.WriteFile(d.temp, text, 0o600); err != nil {
		return false, err
	}
	// an editor that is left without saving does not touch the copy
	untouched := time.Unix(0, 0)
	if err := os.Chtimes(d.temp, untouched, untouched); err != nil {
		return false, err
	}
	answers := bufio.NewReader(os.Stdin)
	for {
		if err := runEditor(d.temp); err != nil {
			return false, err
		}
		now, err := os.ReadFile(d.temp)
		if err != nil {
			return false, err
		}
		info, err := os.Stat(d.temp)
		if err != nil {
			return false, err
		}
		if bytes.Equal(now, text) && (d.old != nil || info.ModTime().Equal(untouched)) {
			fmt.Fprintf(stdout, "%s: not changed\n", d.path)
			return false, nil
		}
		choice, err := d.judge(now, answers)
		switch {
		case err != nil:
			return true, err
		case choice == "e":
			continue
		case choice == "x":
			return false, errReported
		case choice == "": // nobody answers
			return true, errReported
		}
		return d.save(now)
	}
}

// judge says what becomes of the text: "s", it is saved; else see ask. Missing
// instance parents, for which every session would be refused, can be made first.
func (d *draft) judge(text []byte, answers *bufio.Reader) (choice string, err error) {
	for {
		c, faulty, err := d.check(text)
		if err != nil {
			return "", err
		}
		if c != nil && !faulty {
			return "s", nil
		}
		missing := c != nil && slices.ContainsFunc(parents(c, true), func(p parent) bool { return absent(p.path) })
		if choice = ask(answers, c == nil, missing); choice != "p" {
			return choice, nil
		}
		if err := prepare(c, false); err != nil && !errors.Is(err, errReported) {
			return "", err
		}
	}
}

// realPath follows a link that stands for the file, so that it stays one.
func realPath(path string) (string, error) {
	path2, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	return path2, err
}

// beginning is what a main file that is not there begins with.
//
//go:embed beginning.conf
var beginning string

// runEditor runs the administrator's editor. An interrupt is the editor's.
func runEditor(path string) error {
	command := strings.Fields(cmp.Or(os.Getenv("SUDO_EDITOR"), os.Getenv("VISUAL"), os.Getenv("EDITOR")))
	if len(command) == 0 && !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("there is no terminal here: set EDITOR to a program that needs none")
	}
	if len(command) == 0 {
		for _, name := range []string{"editor", "vi", "nano"} {
			if found, err := exec.LookPath(name); err == nil {
				command = []string{found}
				break
			}
		}
	}
	if len(command) == 0 {
		return errors.New("there is no editor: set EDITOR")
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	editor := exec.Command(command[0], append(command[1:], path)...)
	editor.Stdin, editor.Stdout, editor.Stderr = os.Stdin, stdout.file, os.Stderr
	if err := editor.Run(); err != nil {
		return fmt.Errorf("%s: %w: nothing is saved", command[0], err)
	}
	return nil
}

// whole is the configuration with the text instead of the file's.
func (d *draft) whole(text []byte) (observe.Files, error) {
	files, err := observe.ConfigFiles(d.conf, true)
	src := config.Source{Name: d.path, Data: text}
	switch {
	case !d.dropin:
		if dirfd.IsNotExist(err) {
			files.Dropins, err = observe.Dropins(d.conf, true)
		}
		files.Main = src
		return files, err
	case err != nil:
		return files, fmt.Errorf("%w: a drop-in needs a main file: begin with `polyinst edit`", err)
	default:
		same := func(s config.Source) bool { return filepath.Base(s.Name) == filepath.Base(d.path) }
		files.Dropins = append(slices.DeleteFunc(files.Dropins, same), src)
		slices.SortFunc(files.Dropins, func(a, b config.Source) int {
			return strings.Compare(filepath.Base(a.Name), filepath.Base(b.Name))
		})
	}
	return files, nil
}

// check says what is wrong with the text: without a result it is no
// configuration, or says another thing than is meant; misfit, it does not fit
// this machine.
func (d *draft) check(text []byte) (c *config.Config, misfit bool, err error) {
	files, err := d.whole(text)
	if err != nil {
		return nil, false, err
	}
	var problems config.Problems
	c, problems = config.Parse(files.Main, files.Dropins)
	tellProblems(problems)
	if len(problems) > 0 {
		return nil, false, nil
	}
	if r := plan.Clash(c); r != nil {
		at(config.Position{File: d.path}, pamstack.Error, "%v", r).tell()
		return nil, false, nil
	}
	lists := checkLists(c)
	remarks, err := checkMachine(c, files, d.conf)
	for _, r := range slices.Concat(lists, remarks) {
		r.tell()
	}
	if hasError(lists, func(r remark) bool { return !r.passing }) {
		return nil, false, err
	}
	return c, faulty(lists) || faulty(remarks), err
}

// ask asks what to do now: "e" edit, "x" give up, "p" make the missing instance
// parents, "s" save; empty where nobody answers.
func ask(answers *bufio.Reader, broken, missing bool) string {
	question := "e: edit again, x: give up, s: save all the same (sessions will be refused)? [e] "
	switch {
	case broken:
		question = "e: edit again, x: give up? [e] "
	case missing:
		question = "p: make the missing instance parents, " + question
	}
	for {
		fmt.Fprint(os.Stderr, question)
		line, err := answers.ReadString('\n')
		if err != nil {
			fmt.Fprintln(os.Stderr)
			return ""
		}
		switch answer := strings.ToLower(strings.TrimSpace(line)); {
		case answer == "" || answer == "e":
			return "e"
		case answer == "x" || answer == "q":
			return "x"
		case answer == "s" && !broken, answer == "p" && missing:
			return answer
		}
	}
}

// save replaces the file by the text, and keeps the whole as the last good
// configuration.
func (d *draft) save(text []byte) (kept bool, err error) {
	mode := fs.FileMode(0o644)
	now, err := os.ReadFile(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(d.path), 0o755); err != nil {
			return true, err
		}
	case err != nil:
		return true, err
	}
	if !bytes.Equal(now, d.old) {
		return true, fmt.Errorf("%s: it was changed meanwhile", d.path)
	}
	if info, err := os.Stat(d.path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := replace(d.path, string(text), mode); err != nil {
		return true, err
	}
	fmt.Fprintf(stdout, "saved %s\n", d.path)
	files, err := observe.ConfigFiles(d.conf, true)
	if err == nil {
		err = accept(files)
	}
	if err != nil {
		return false, fmt.Errorf("it is not kept as the last good configuration: %w", err)
	}
	sayKept(files)
	return false, nil
}
