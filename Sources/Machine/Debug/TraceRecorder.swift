import CPU

/// The last instructions and branches, while they are recorded.
struct TraceRecorder {
    static let ringLimit = 10_000
    static let branchLimit = 64
}

extension Debugger {
    func branches() -> [DebugBranch] { [] }
    func history(_ count: Int) -> [DebugInstruction] { [] }
}
