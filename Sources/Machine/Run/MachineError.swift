/// Why something could not be done, in one sentence for the user, and the exit status that goes with it.
public struct MachineError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The raw value is the process's exit status (contract: `vitrine run`).
    public enum Kind: Int32, Sendable {
        /// A failure of ours or of the host.
        case failed = 1
        /// It cannot work here: no terminal, no such machine, wrong state.
        case wrongPlace = 2
        /// Options or a script that make no sense.
        case usage = 64
        /// An input cannot be opened or is not what it should be.
        case badInput = 66
    }
    public var kind: Kind
    /// One sentence without a trailing newline: what is wrong, where, and what to do.
    public var description: String

    public init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        description = sentence
    }

    public static func failed(_ sentence: String) -> MachineError { MachineError(.failed, sentence) }
    public static func usage(_ sentence: String) -> MachineError { MachineError(.usage, sentence) }
    public static func badInput(_ sentence: String) -> MachineError { MachineError(.badInput, sentence) }
}
