import Machine

/// What a console wants to know of its machine, answered later: the machine may have to be waited for.
public enum MachineQuestion: Sendable {
    /// The number comes back with the reply.
    case debug(Int, DebugRequest)
    case facts
    /// A report into a file where vitrine was started.
    case report
}

public enum MachineAnswer: Sendable {
    case debug(Int, DebugReply)
    /// nil: nothing is known.
    case facts(MachineFacts?)
    /// What came of the report, one sentence.
    case report(String)
}
