extension Device {
    /// The chip as its own type, changed in place; nil when it is of another type. A cast would copy it out and in again.
    mutating func with<D: Device, R>(_ type: D.Type, _ body: (inout D) -> R) -> R? {
        guard Self.self == D.self else { return nil }
        return withUnsafeMutablePointer(to: &self) { $0.withMemoryRebound(to: D.self, capacity: 1) { body(&$0.pointee) } }
    }
}
