import Hardware

/// What lists, menus and dialogs ask for.
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
    /// Looks into a folder, to choose a file from.
    case browse(String)
    /// Leave a machine that another process runs.
    case detach
    /// Of the debugger: a panel; places, bytes and texts as the dialog's line has them.
    case debugPanel(DebugPanelKind)
    case debugGoto(DebugPanelKind, String)
    case debugSearch(String)
    case debugEdit(String)
    case debugSet(register: String, String)
    /// For the manager; a console by itself knows none of these.
    case manager(ManagerRequest)
    case nothing

    /// The request with the text of a dialog's line; nil when it cannot be without one.
    /// - Parameter second: of the second line.
    func filled(_ value: String, _ second: String = "") -> Request? {
        switch self {
        case .type: value.isEmpty ? nil : .type(value)
        case .insert(let bay, _): value.isEmpty ? nil : .insert(bay, value)
        case .debugGoto(let kind, _): value.isEmpty ? nil : .debugGoto(kind, value)
        case .debugSearch: value.isEmpty ? nil : .debugSearch(value)
        case .debugEdit: value.isEmpty ? nil : .debugEdit(value)
        case .debugSet(let register, _): value.isEmpty ? nil : .debugSet(register: register, value)
        case .browse: .browse(PathCompletion.split(value).folder)
        case .manager(.rename(let name, _)): value.isEmpty ? nil : .manager(.rename(name, to: value))
        case .manager(.clone(let name, _)): value.isEmpty ? nil : .manager(.clone(name, to: value))
        case .manager(.takeSnapshot(let machine, _, _)): value.isEmpty ? nil : .manager(.takeSnapshot(machine, name: value, description: second))
        case .manager(.exportSnapshot(let machine, let name, _)):
            value.isEmpty ? nil : .manager(.exportSnapshot(machine, name: name, path: value))
        case .manager(.importSnapshot(let machine, _)): value.isEmpty ? nil : .manager(.importSnapshot(machine, path: value))
        case .manager(.linkedClone(let machine, let snapshot, _)):
            value.isEmpty ? nil : .manager(.linkedClone(machine, of: snapshot, to: value))
        case .manager(.group(let names, _)): .manager(.group(names, to: value))
        default: self
        }
    }
}

/// What the manager's own lists and dialogs ask for.
public enum ManagerRequest: Equatable, Sendable {
    case rename(String, to: String)
    case clone(String, to: String)
    case delete([String])
    case group([String], to: String)
    /// Reset, power off and the like, after the question.
    case each(ActionID, [String])
    case discardState([String])
    case takeSnapshot(String, name: String, description: String)
    /// - Parameter keeps: the present state becomes a snapshot first.
    case restoreSnapshot(String, name: String, keeps: Bool)
    /// - Parameter canUndo: it is only hidden, until it is committed.
    case deleteSnapshot(String, name: String, canUndo: Bool)
    case exportSnapshot(String, name: String, path: String)
    case importSnapshot(String, path: String)
    case linkedClone(String, of: String, to: String)
    case sort(MachineOrder)
    case keymap(String)
    case hostKey(String)
    case quit(QuitChoice)
    /// Carries out what the form has changed.
    case apply
    case discard
    case component(String)
    case logRun(Int)
    /// Events of a part into the log, or no longer.
    case trace(String)
    /// Stops what the progress dialog shows.
    case cancelWork
    /// A command from a text that was shown, to the clipboard.
    case copy(String)
}

/// What becomes of running machines when the manager ends.
public enum QuitChoice: Equatable, Sendable { case keepRunning, saveState, acpiOff, powerOff }

/// A chord spelled as in keymaps, `C-A-del`.
public typealias ChordName = String

public enum HoldKey: String, CaseIterable, Sendable { case ctrl, alt, shift }
