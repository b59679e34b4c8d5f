import Hardware

/// Every command of the console by the name that keymaps use.
public enum ActionID: String, CaseIterable, Sendable {
    case help, menu, palette, quit, redraw, suspend
    case capture = "guest.capture"
    case release = "guest.release"
    case sendHostKey = "guest.send-host-key"
    case guestMouse = "guest.mouse"
    case sendKeys = "send-keys.menu"
    case typeText = "clipboard.type"
    case copyScreen = "screen.copy"
    case savePicture = "screen.picture"
    case pause = "machine.pause"
    case reset = "machine.reset"
    case acpiOff = "machine.acpi-off"
    case powerOff = "machine.power-off"
    case drives = "drives.menu"
    case panUp = "pan.up"
    case panDown = "pan.down"
    case panLeft = "pan.left"
    case panRight = "pan.right"
    case panFollow = "pan.follow"
    case chooseTheme = "theme.choose"
    // Inside lists, menus and dialogs.
    case listUp = "list.up"
    case listDown = "list.down"
    case pageUp = "list.page-up"
    case pageDown = "list.page-down"
    case listFirst = "list.first"
    case listLast = "list.last"
    case menuLeft = "menu.left"
    case menuRight = "menu.right"
    case accept, cancel
    case nextButton = "button.next"
    case previousButton = "button.previous"
    case backspace = "text.backspace"
    case clearText = "text.clear"
}

/// What keys, menus, palette and help say about a command. The only place where its words are.
public struct Action: Sendable {
    public let id: ActionID
    /// As menus say it.
    public let title: String
    /// As the bar says it.
    public let short: String
    /// One sentence.
    public let help: String
    /// Shown in the palette and in help; the others only steer lists and dialogs.
    public let isCommand: Bool

    public static let all: [Action] = {
        var list: [Action] = []
        func add(_ id: ActionID, _ title: String, _ short: String, _ help: String) {
            list.append(Action(id: id, title: title, short: short, help: help, isCommand: true))
        }
        func steer(_ id: ActionID, _ title: String) {
            list.append(Action(id: id, title: title, short: title, help: title, isCommand: false))
        }
        add(.capture, "Give the keyboard to the guest", "Capture", "All keys go to the guest until the host key takes them back.")
        add(.release, "Take the keyboard back", "Release", "Keys work the console; the guest gets none.")
        add(.sendHostKey, "Send the host key", "Host key", "The guest gets the key that is our prefix.")
        add(.sendKeys, "Send keys…", "Send keys", "Chords that this terminal cannot pass on, from a list.")
        add(.typeText, "Type text…", "Type", "Types a text, for example pasted here, as keystrokes into the guest.")
        add(.guestMouse, "Mouse to the guest", "Mouse", "The mouse moves the guest's pointer, or works the console again.")
        add(.pause, "Pause", "Pause", "Stops the guest's time; the same key resumes.")
        add(.reset, "Reset…", "Reset", "Presses the reset button. Unsaved guest data is lost.")
        add(.acpiOff, "ACPI shutdown", "Shutdown", "Presses the power button; the guest shuts itself down if it knows how.")
        add(.powerOff, "Power off…", "Power off", "Pulls the plug. Unsaved guest data is lost.")
        add(.drives, "Drives…", "Drives", "Puts floppies and CDs in and takes them out.")
        add(.copyScreen, "Copy screen", "Copy", "The guest's screen as text to the clipboard (OSC 52, tmux).")
        add(.savePicture, "Save a picture", "Picture", "The guest's screen, in any mode, as a PNG file where vitrine was started.")
        add(.panUp, "Pan up", "Up", "Shows what is above, when the terminal is smaller than the guest's screen.")
        add(.panDown, "Pan down", "Down", "Shows what is below.")
        add(.panLeft, "Pan left", "Left", "Shows what is to the left.")
        add(.panRight, "Pan right", "Right", "Shows what is to the right.")
        add(.panFollow, "Follow the cursor", "Follow", "The view goes with the guest's cursor again.")
        add(.chooseTheme, "Theme…", "Theme", "Changes the colours.")
        add(.redraw, "Redraw", "Redraw", "Paints the whole terminal again.")
        add(.suspend, "Suspend", "Suspend", "Stops the program and gives the shell back; fg returns.")
        add(.menu, "Menu", "Menu", "Opens the menu bar.")
        add(.palette, "Command palette", "Commands", "Finds a command by a few letters of its name.")
        add(.help, "Keys", "Help", "Lists every key that works here.")
        add(.quit, "Quit…", "Quit", "Ends the machine and the program, after a question.")
        steer(.listUp, "Up")
        steer(.listDown, "Down")
        steer(.pageUp, "Page up")
        steer(.pageDown, "Page down")
        steer(.listFirst, "First")
        steer(.listLast, "Last")
        steer(.menuLeft, "Menu to the left")
        steer(.menuRight, "Menu to the right")
        steer(.accept, "Accept")
        steer(.cancel, "Close")
        steer(.nextButton, "Next button")
        steer(.previousButton, "Previous button")
        steer(.backspace, "Delete a character")
        steer(.clearText, "Clear the text")
        return list
    }()

    private static let table = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })

    public static subscript(_ id: ActionID) -> Action {
        table[id] ?? Action(id: id, title: id.rawValue, short: id.rawValue, help: id.rawValue, isCommand: false)
    }

    /// Contexts of keys, as keymaps name them.
    public static let contexts = ["global", "console", "host", "menu", "list", "dialog"]
}

/// What lists, menus and dialogs ask the console to do.
public enum Request: Equatable, Sendable {
    case run(ActionID)
    /// The user has said yes.
    case confirmed(ActionID)
    case send([ChordName])
    /// A modifier goes down with the next key.
    case hold(HoldKey)
    case askSysRq
    case sysRq(Character)
    case type(String)
    /// Typed without a further question.
    case typeNow(String)
    case theme(String)
    /// A drive was chosen; what to do with it comes next.
    case drive(Bay)
    /// The path is what the dialog's line holds.
    case insert(Bay, String)
    case eject(Bay)
    /// Leave a machine that another process runs.
    case detach
    case nothing
}

/// A chord spelled as in keymaps, `C-A-del`.
public typealias ChordName = String

public enum HoldKey: String, CaseIterable, Sendable { case ctrl, alt, shift }
