extension PageWalk {
    /// A walk made by others than the processor: a canned one.
    public init(_ linear: UInt64, levels: [Level], physical: UInt64?) { self.init(linear: linear, levels: levels, physical: physical) }
}

extension PageWalk.Level {
    public init(_ name: String, at address: UInt64?, entry: UInt64) { self.init(name: name, address: address, entry: entry) }
}
