import Hardware

/// What keys, menus, palette, hints and help say about a command. The only place where its words are.
public struct Action: Sendable {
    /// Where a command means something.
    public struct Scope: OptionSet, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The console of a machine, by itself and inside the manager.
        public static let console = Scope(rawValue: 1)
        /// The console inside the manager only.
        public static let managed = Scope(rawValue: 2)
        public static let machines = Scope(rawValue: 4)
        public static let form = Scope(rawValue: 8)
        public static let wizard = Scope(rawValue: 16)
        public static let log = Scope(rawValue: 32)
        public static let scrollback = Scope(rawValue: 64)
        public static let snapshots = Scope(rawValue: 128)
        public static let debugger = Scope(rawValue: 256)
        static let forms: Scope = [.form, .wizard]
        static let texts: Scope = [.log, .scrollback]
        static let anywhere: Scope = [.console, .managed, .machines, .form, .wizard, .log, .scrollback, .snapshots, .debugger]
    }

    public let id: ActionID
    /// As menus say it.
    public let title: String
    /// As the bar says it.
    public let short: String
    /// One sentence.
    public let help: String
    /// Shown in the palette and in help; the others only steer lists and dialogs.
    public let isCommand: Bool
    public let scope: Scope
    /// The verb of the command line that does the same; nil when the command is about the screen itself.
    public let verb: String?

    public static let all: [Action] = commands + texts + debugging + steering

    private static func add(
        _ id: ActionID, _ scope: Scope, _ title: String, _ short: String, _ help: String, verb: String? = nil
    ) -> Action {
        Action(id: id, title: title, short: short, help: help, isCommand: true, scope: scope, verb: verb)
    }

    private static let commands: [Action] = [
        add(
            .capture, [.console, .debugger], "Give the keyboard to the guest", "Capture",
            "All keys go to the guest until the host key takes them back."),
        add(.release, .console, "Take the keyboard back", "Release", "Keys work the console; the guest gets none."),
        add(.sendHostKey, .console, "Send the host key", "Host key", "The guest gets the key that is our prefix.", verb: "keys"),
        add(.sendKeys, .console, "Send keys…", "Send keys", "Chords that this terminal cannot pass on, from a list.", verb: "keys"),
        add(
            .typeText, .console, "Type text…", "Type", "Types a text, for example pasted here, as keystrokes into the guest.", verb: "type"),
        add(.guestMouse, .console, "Mouse to the guest", "Mouse", "The mouse moves the guest's pointer, or works the console again."),
        add(.open, .machines, "Open", "Open", "Shows the machine's screen; starts the machine first when it is off.", verb: "attach"),
        add(.start, .machines, "Start", "Start", "Switches the machine on without leaving the list.", verb: "start"),
        add(.pause, [.console, .machines], "Pause", "Pause", "Stops the guest's time; the same key resumes.", verb: "pause"),
        add(.reset, [.console, .machines], "Reset…", "Reset", "Presses the reset button. Unsaved guest data is lost.", verb: "reset"),
        add(
            .acpiOff, [.console, .machines], "ACPI shutdown", "Shutdown",
            "Presses the power button; the guest shuts itself down if it knows how.", verb: "stop"),
        add(
            .powerOff, [.console, .machines], "Power off…", "Power off", "Pulls the plug. Unsaved guest data is lost.", verb: "stop"),
        add(
            .saveState, [.console, .machines], "Save state", "Save state", "Keeps the machine as it is and ends it; the next start goes on there.",
            verb: "save-state"),
        add(
            .discardState, .machines, "Discard state…", "Discard", "Gives a saved state up, as if the power had been cut then.",
            verb: "discard-state"),
        add(
            .snapshots, [.machines, .managed], "Snapshots", "Snapshots", "The tree of the machine's earlier states: take, restore, delete, clone.",
            verb: "snapshot list"),
        add(
            .takeSnapshot, [.machines, .managed, .snapshots], "Take snapshot…", "Take",
            "Keeps settings, disks and, of a running machine, memory; it goes on at once.", verb: "snapshot take"),
        add(
            .newMachine, .machines, "New machine…", "New",
            "Makes a machine in a few steps, with defaults that fit its system.", verb: "create"),
        add(
            .settings, [.machines, .managed], "Settings…", "Settings", "Everything that a machine can be told, checked as you type.",
            verb: "set"),
        add(.clone, .machines, "Clone…", "Clone", "Copies a machine with its disks under another name.", verb: "clone"),
        add(.rename, .machines, "Rename…", "Rename", "Gives a machine another name.", verb: "rename"),
        add(.group, .machines, "Group…", "Group", "Puts machines into a group, or takes them out of it.", verb: "set"),
        add(
            .delete, .machines, "Delete…", "Delete",
            "Removes a machine and its disks for ever, after the name has been typed.", verb: "delete"),
        add(.log, [.machines, .managed], "Log", "Log", "What the machine has noted in its runs.", verb: "log"),
        add(
            .showCommand, [.machines, .wizard, .form], "Show as command", "As command", "The command line that does the same.", verb: "show"),
        add(.drives, [.console, .form], "Drives…", "Drives", "Puts floppies and CDs in and takes them out.", verb: "set"),
        add(.detach, .console, "Detach", "Detach", "Leaves the screen; the machine goes on, 'attach' shows it again."),
        add(.scrollback, .console, "Scroll back", "Scroll back", "What has scrolled off the guest's screen: read, search, copy."),
        add(.copyScreen, .console, "Copy screen", "Copy", "The guest's screen as text to the clipboard (OSC 52, tmux).", verb: "screen"),
        add(
            .savePicture, .console, "Save a picture", "Picture", "The guest's screen, in any mode, as a PNG file where vitrine was started.",
            verb: "screenshot"),
        add(.panUp, .console, "Pan up", "Up", "Shows what is above, when the terminal is smaller than the guest's screen."),
        add(.panDown, .console, "Pan down", "Down", "Shows what is below."),
        add(.panLeft, .console, "Pan left", "Left", "Shows what is to the left."),
        add(.panRight, .console, "Pan right", "Right", "Shows what is to the right."),
        add(.panFollow, .console, "Follow the cursor", "Follow", "The view goes with the guest's cursor again."),
        add(
            .machines, [.managed, .log, .forms, .scrollback, .snapshots], "Machines", "Machines",
            "Goes to the list of machines; those that run go on."),
        add(.nextConsole, [.managed, .machines], "Next console", "Next", "The screen of the next running machine."),
        add(.split, [.managed, .machines], "Split view", "Split", "The console beside the list of machines; the same key undoes it."),
        add(.mark, [.machines, .snapshots], "Mark", "Mark", "Marks a machine, or a snapshot; commands then act on all marked ones."),
        add(.markAll, .machines, "Mark all or none", "All", "Marks every machine in the list, or none."),
        add(.filter, .machines, "Filter", "Filter", "Shows only machines whose name, system, group or state has what you type."),
        add(.fold, .machines, "Fold the group", "Fold", "Hides the machines of a group behind its heading."),
        add(.unfold, .machines, "Unfold the group", "Unfold", "Shows the machines of a group again."),
        add(.groups, .machines, "Groups as headings", "Groups", "Machines under the headings of their groups, or all in one list."),
        add(.sort, .machines, "Sort…", "Sort", "By name, state, system, memory, uptime, load, group or tag."),
        add(.nextPanel, [.machines, .managed, .debugger], "Next panel", "Panel", "The keyboard goes to the next panel."),
        add(.previousPanel, [.machines, .managed, .debugger], "Previous panel", "Panel", "The keyboard goes to the panel before."),
        add(.panel1, .machines, "Panel 1, machines", "Machines", "The list of machines."),
        add(.panel2, .machines, "Panel 2, details", "Details", "What the selected machine is."),
        add(.panel3, .machines, "Panel 3, screen", "Screen", "The selected machine's screen, small; Enter opens it."),
        add(.panel4, .machines, "Panel 4, log", "Log", "The selected machine's log."),
        add(.undo, .machines, "Undo", "Undo", "Takes the last rename, group or settings change back; again, the one before."),
        add(.chooseTheme, .anywhere, "Theme…", "Theme", "Changes the colours.", verb: "theme"),
        add(.chooseKeymap, [.machines, .managed], "Keymap…", "Keymap", "Changes the keys.", verb: "keys"),
        add(.chooseHostKey, [.machines, .managed], "Host key…", "Host key", "The key that takes the keyboard back from a guest: press it."),
        add(.redraw, .anywhere, "Redraw", "Redraw", "Paints the whole terminal again."),
        add(.suspend, .anywhere, "Suspend", "Suspend", "Stops the program and gives the shell back; fg returns."),
        add(.menu, .anywhere, "Menu", "Menu", "Opens the menu bar."),
        add(.palette, .anywhere, "Command palette", "Commands", "Finds a command by a few letters of its name."),
        add(.help, .anywhere, "Keys", "Help", "Lists every key that works here."),
        add(.quit, .anywhere, "Quit…", "Quit", "Leaves; asks first when a machine would be lost."),
    ] + ActionID.consoles.enumerated().map { index, id in
        add(id, .managed, "Console \(index + 1)", "Console \(index + 1)", "The screen of running machine number \(index + 1).")
    }

    private static let debugging: [Action] = [
        add(
            .debugger, [.console, .debugger], "Debugger", "Debugger", "Registers, code and memory beside the screen; the same key puts them away.",
            verb: "debug"),
        add(
            .saveReport, [.console, .debugger], "Save a report", "Report",
            "All that is known of the machine, its state too, into one file where vitrine was started."),
        add(.debugStep, .debugger, "Trace into", "Into", "Carries out one instruction."),
        add(.debugOver, .debugger, "Step over", "Over", "Calls, interrupts and repeated instructions as one."),
        add(.debugOut, .debugger, "Until return", "Return", "Goes on until the present function, or handler, has returned."),
        add(.debugBack, .debugger, "Back trace", "Back", "Goes back to before the last instruction, where the run is recorded."),
        add(.debugBackRun, .debugger, "Run backwards", "Run back", "Goes back to the last breakpoint, where the run is recorded."),
        add(.debugToCursor, .debugger, "Go to cursor", "To cursor", "Goes on until the line that the keyboard is at."),
        add(.debugRun, .debugger, "Run or stop", "Run", "Lets the machine go on, or stops it where it is."),
        add(
            .debugBreakpoint, .debugger, "Toggle breakpoint", "Break",
            "Sets a breakpoint at the line, or takes it away; in their list, switches one on or off."),
        add(.debugDelete, .debugger, "Delete breakpoint", "Delete", "Takes the selected breakpoint of the list away."),
        add(.debugWatch, .debugger, "Watch the byte", "Watch", "Stops when the byte that the keyboard is at in memory is written."),
        add(.debugGoto, .debugger, "Go to address…", "Go to", "Shows code or memory at a place: an address, a register, a symbol."),
        add(.debugFollow, .debugger, "Back to the next instruction", "Origin", "The code goes with the processor again."),
        add(.debugSearch, .debugger, "Search memory…", "Search", "Finds bytes or a text, from the keyboard's place on."),
        add(.debugEdit, .debugger, "Change memory…", "Change", "Writes bytes at the place of the keyboard."),
        add(.debugZoom, .debugger, "Zoom", "Zoom", "Gives one panel all the room, or the others theirs back."),
        add(.debugPanels, .debugger, "All panels…", "Panels", "Every panel of the debugger, to choose one."),
        add(.debugHistoryPrevious, .debugger, "Command before", "Before", "An earlier command into the command line."),
        add(.debugHistoryNext, .debugger, "Command after", "After", "A later command into the command line."),
    ] + zip(ActionID.debugPanelKeys, DebugPanelKind.numbered).map { id, kind in
        add(id, .debugger, "Panel \(kind.title)", kind.title, "Shows the panel and gives it the keyboard.")
    }

    private static let texts: [Action] = [
        add(.save, .form, "Save", "Save", "Shows what changes, then saves it."),
        add(.nextSection, .form, "Next section", "Section", "The first setting of the next section."),
        add(.previousSection, .form, "Previous section", "Section", "The first setting of the section before."),
        add(.moveUp, .forms, "Move up", "Move up", "Moves an entry of an ordered list up."),
        add(.moveDown, .forms, "Move down", "Move down", "Moves an entry of an ordered list down."),
        add(
            .complete, [.form, .wizard, .debugger], "Complete the name", "Complete",
            "The rest of a file's name, as far as it is clear; else the next field."),
        add(.browse, .forms, "Browse…", "Browse", "Folders and files to choose from, for a field that names a file."),
        add(.nextStep, .wizard, "Next step", "Next", "Goes on when everything here is right; the last step creates the machine."),
        add(.previousStep, .wizard, "Step back", "Step back", "Goes back a step; nothing that was filled in is lost."),
        add(.follow, .log, "Follow", "Follow", "Shows new lines as they come."),
        add(.level, .log, "Level", "Level", "Hides lines below a level: error, warning, info, trace."),
        add(.component, .log, "Component…", "Component", "Shows the lines of one part of the machine only."),
        add(
            .trace, .log, "Trace…", "Trace",
            "Events of parts of the running machine into its log, switched on and off at once.", verb: "log"),
        add(.run, .log, "Run…", "Run", "The log of this run or of an earlier one."),
        add(
            .restoreSnapshot, .snapshots, "Restore…", "Restore", "Brings the machine back to the snapshot; asks what becomes of its present state.",
            verb: "snapshot restore"),
        add(
            .deleteSnapshot, .snapshots, "Delete…", "Delete", "Deletes the snapshot; what stands on its disks is merged with them.",
            verb: "snapshot delete"),
        add(.cloneSnapshot, .snapshots, "Linked clone…", "Clone", "Makes a machine that stands on the snapshot's disks.", verb: "clone"),
        add(
            .diffSnapshot, .snapshots, "Compare", "Compare",
            "What differs: between two marked snapshots, the marked and the selected one, or the selected one and what it came from.",
            verb: "snapshot diff"),
        add(.exportSnapshot, .snapshots, "Export…", "Export", "Writes the snapshot into one file.", verb: "snapshot export"),
        add(.importSnapshot, .snapshots, "Import…", "Import", "Takes a snapshot from a file into the tree.", verb: "snapshot import"),
        add(
            .undoSnapshot, .snapshots, "Undo the last restore or deletion", "Undo", "Brings back what it took away, until it is committed.",
            verb: "snapshot undo"),
        add(
            .commitSnapshot, .snapshots, "Commit", "Commit",
            "Gives up what could be undone; its room is free then.", verb: "snapshot commit"),
        add(.stopSnapshot, .snapshots, "Stop the work", "Stop", "Stops what is under way; everything stays as it was."),
        add(.search, .texts, "Search", "Search", "Goes to the next line that has a text."),
        add(.searchNext, .texts, "Search on", "Next", "The next line that has it."),
        add(.searchPrevious, .texts, "Search back", "Previous", "The line before that has it."),
        add(.select, .texts, "Select lines", "Select", "Begins a selection of lines, or ends it."),
        add(.copyText, .texts, "Copy lines", "Copy", "The selected lines to the clipboard, all lines in view without a selection."),
        add(.saveText, .texts, "Save as a file", "Save", "The selected lines, or all, as a text file where vitrine was started."),
        add(.back, [.log, .scrollback, .forms, .snapshots], "Back", "Back", "One level back."),
    ]

    private static func steer(_ id: ActionID, _ title: String) -> Action {
        Action(id: id, title: title, short: title, help: title, isCommand: false, scope: [], verb: nil)
    }

    private static let steering: [Action] = [
        steer(.listUp, "Up"), steer(.listDown, "Down"), steer(.pageUp, "Page up"), steer(.pageDown, "Page down"),
        steer(.listFirst, "First"), steer(.listLast, "Last"), steer(.menuLeft, "To the left"), steer(.menuRight, "To the right"),
        steer(.accept, "Accept"), steer(.cancel, "Close"), steer(.nextButton, "Next button"), steer(.previousButton, "Previous button"),
        steer(.backspace, "Delete a character"), steer(.deleteForward, "Delete the next character"), steer(.clearText, "Clear the text"),
    ]

    private static let table = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })

    public static subscript(_ id: ActionID) -> Action {
        table[id]
            ?? Action(id: id, title: id.rawValue, short: id.rawValue, help: id.rawValue, isCommand: false, scope: [], verb: nil)
    }

    /// Contexts of keys, as keymaps name them.
    public static let contexts = [
        "global", "console", "host", "machines", "form", "wizard", "log", "scrollback", "snapshots", "debugger", "menu", "list", "dialog", "guru",
    ]
}
