/// What a cell of the user interface means. Themes give roles their colours; nothing else knows colours.
///
/// The raw value is the scope as theme files spell it. A scope that a theme leaves out falls back by dropping its last part.
public enum Role: String, CaseIterable, Sendable {
    case ui
    case panel = "ui.panel"
    case panelBorder = "ui.panel.border"
    case panelBorderFocus = "ui.panel.border.focus"
    case panelTitle = "ui.panel.title"
    case list = "ui.list"
    case listSelected = "ui.list.selected"
    case listSelectedBlur = "ui.list.selected.blur"
    case listKey = "ui.list.key"
    case menu = "ui.menu"
    case menuHotkey = "ui.menu.hotkey"
    case menuSelected = "ui.menu.selected"
    case menuDisabled = "ui.menu.disabled"
    case dialog = "ui.dialog"
    case dialogBorder = "ui.dialog.border"
    case dialogTitle = "ui.dialog.title"
    case dialogDanger = "ui.dialog.danger"
    case button = "ui.button"
    case buttonSelected = "ui.button.selected"
    case input = "ui.input"
    case inputError = "ui.input.error"
    case status = "ui.status"
    case statusKey = "ui.status.key"
    case statusAlert = "ui.status.alert"
    case statusCaptured = "ui.status.captured"
    case statusCapturedKey = "ui.status.captured.key"
    case statusHost = "ui.status.host"
    case gauge = "ui.gauge"
    case gaugeHigh = "ui.gauge.high"
    case shadow = "ui.shadow"
    case desktop = "ui.desktop"
    case stateRunning = "state.running"
    case statePaused = "state.paused"
    case stateOff = "state.off"
    case stateError = "state.error"
    case logWarn = "log.warn"
    case logError = "log.error"
    case debugChanged = "debug.changed"
    case debugPC = "debug.pc"
    case debugBreakpoint = "debug.breakpoint"
    case debugSymbol = "debug.symbol"

    /// Position in `allCases`.
    public var index: Int { Role.indices[self] ?? 0 }

    private static let indices: [Role: Int] = Dictionary(uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}
