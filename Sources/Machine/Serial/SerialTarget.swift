/// What is at the other end of a guest's serial port (contract: `--serial`).
public enum SerialTarget: Equatable, Sendable {
    case stdio
    case none
    case pty
    /// Output only.
    case file(String)
    /// A listening UNIX socket; one client at a time.
    case socket(String)

    /// - Throws: `.usage` when it is none of the forms.
    public init(_ text: String) throws(MachineError) {
        switch text {
        case "stdio": self = .stdio
        case "none": self = .none
        case "pty": self = .pty
        default:
            if text.hasPrefix("file:"), text.utf8.count > 5 {
                self = .file(String(text.dropFirst(5)))
            } else if text.hasPrefix("socket:"), text.utf8.count > 7 {
                self = .socket(String(text.dropFirst(7)))
            } else {
                throw .usage("'\(text)' is not a serial port's other end; use stdio, none, pty, file:PATH or socket:PATH.")
            }
        }
    }
}
