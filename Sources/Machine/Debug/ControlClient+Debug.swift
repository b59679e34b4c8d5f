extension ControlClient {
    /// Asks the debugger of the machine.
    /// - Parameter milliseconds: how long the answer may take; nil: for ever.
    /// - Throws: as `ask`.
    public func debug(_ request: DebugRequest, within milliseconds: Int32? = 30_000) throws(MachineError) -> DebugReply {
        guard let text = try? DebugWire.text(request) else { throw .failed("The request to the debugger cannot be written.") }
        let value = try ask("x-vitrine-debug", ["request": .string(text)], within: milliseconds)
        guard let reply: DebugReply = value["reply"]?.string.flatMap({ try? DebugWire.value($0) }) else {
            throw .failed("The machine's debugger sent something that is not understood.")
        }
        return reply
    }
}
