package work

import (
	"context"
	"os"
	"testing"

	"sharedcloud.io/function-operator/apiserver/outcomes"
	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

func TestMain(m *testing.M) {
	if address := os.Getenv("WORK_CHAOS_ADDRESS"); address != "" {
		serveChaos(address, os.Getenv("WORK_CHAOS_URL"))
	}
	postgrestest.Main(m)
}

// onEveryEngine are the tests of an exchange on a store. They run on SQLite by their own names and on PostgreSQL by this
// table.
var onEveryEngine = map[string]func(*testing.T){
	"TestOverTheQuotaInputsCountAsFailedAndAreNotExecutedAgain":                                            TestOverTheQuotaInputsCountAsFailedAndAreNotExecutedAgain,
	"TestOverTheQuotaAnOutcomeIsRecordedFailedWithoutWhatItBrought":                                        TestOverTheQuotaAnOutcomeIsRecordedFailedWithoutWhatItBrought,
	"TestOverTheQuotaLiveOutputIsNotStored":                                                                TestOverTheQuotaLiveOutputIsNotStored,
	"TestANamespaceOverItsQuotaChangesNothingForAnother":                                                   TestANamespaceOverItsQuotaChangesNothingForAnother,
	"TestWhatIsDeletedFreesTheQuota":                                                                       TestWhatIsDeletedFreesTheQuota,
	"TestManyAtOnceStoreNoMoreThanTheQuota":                                                                TestManyAtOnceStoreNoMoreThanTheQuota,
	"TestAQuotaHoldsOverARestartAndOverSeveralServers":                                                     TestAQuotaHoldsOverARestartAndOverSeveralServers,
	"TestACallOverHTTP":                                                                                    TestACallOverHTTP,
	"TestCallsThatAreRefused":                                                                              TestCallsThatAreRefused,
	"TestARequestOfTheGreatestSizeIsTaken":                                                                 TestARequestOfTheGreatestSizeIsTaken,
	"TestAttempts":                                                                                         TestAttempts,
	"TestAnOutcomeKeepsWhatTheWorkerSaidAndWhereItWas":                                                     TestAnOutcomeKeepsWhatTheWorkerSaidAndWhereItWas,
	"TestDeathsWithoutOneOutcomeEndTheRun":                                                                 TestDeathsWithoutOneOutcomeEndTheRun,
	"TestADeathIsCountedOnceHoweverOftenItIsSeen":                                                          TestADeathIsCountedOnceHoweverOftenItIsSeen,
	"TestTheDeathOfAWorkerThatWasSentAwayIsNotCounted":                                                     TestTheDeathOfAWorkerThatWasSentAwayIsNotCounted,
	"TestAWorkerOfAPodThatIsOverIsTakenAtItsWordAndRefusedMore":                                            TestAWorkerOfAPodThatIsOverIsTakenAtItsWordAndRefusedMore,
	"TestALateFirstCallOfADeadPodDoesNotBuryItsSuccessor":                                                  TestALateFirstCallOfADeadPodDoesNotBuryItsSuccessor,
	"TestSuspendingTakesEverythingBackUncharged":                                                           TestSuspendingTakesEverythingBackUncharged,
	"TestProgressCountsWhatWorkersCostAndHowManyThereAre":                                                  TestProgressCountsWhatWorkersCostAndHowManyThereAre,
	"TestProgressOfARunThatNoWorkerHasCalledFor":                                                           TestProgressOfARunThatNoWorkerHasCalledFor,
	"TestChangedIsToldOfEachChangeAndOfNothingElse":                                                        TestChangedIsToldOfEachChangeAndOfNothingElse,
	"TestAWorkerJoinsOnceWithItsFirstCall":                                                                 TestAWorkerJoinsOnceWithItsFirstCall,
	"TestSinceWhenAnIndexIsExecutedIsKnownFromTheCallThatFirstSaidSo":                                      TestSinceWhenAnIndexIsExecutedIsKnownFromTheCallThatFirstSaidSo,
	"TestResultsAreDeletedOfARunThatIsClosedAndOfNoOther":                                                  TestResultsAreDeletedOfARunThatIsClosedAndOfNoOther,
	"TestForgetDeletesARunAndWhatItsWorkersHold":                                                           TestForgetDeletesARunAndWhatItsWorkersHold,
	"TestAnAnswerHasNoMoreThanFitsAndTheRestGoesBack":                                                      TestAnAnswerHasNoMoreThanFitsAndTheRestGoesBack,
	"TestAHandOutWhoseInputsCannotBeReadIsRepeated":                                                        TestAHandOutWhoseInputsCannotBeReadIsRepeated,
	"TestModelWhateverHappensEveryIndexEndsWithExactlyOneOutcome":                                          TestModelWhateverHappensEveryIndexEndsWithExactlyOneOutcome,
	"TestProperty1AnIndexIsInOneWorkersHandsAtATimeAndAHandOutOutlivesACrashOfTheServer":                   TestProperty1AnIndexIsInOneWorkersHandsAtATimeAndAHandOutOutlivesACrashOfTheServer,
	"TestProperty2TheFirstOutcomeWinsAndARepeatIsAcknowledgedAndChangesNothing":                            TestProperty2TheFirstOutcomeWinsAndARepeatIsAcknowledgedAndChangesNothing,
	"TestProperty3AnInputIsDoneOnlyWhenItsOutcomeIsCommitted":                                              TestProperty3AnInputIsDoneOnlyWhenItsOutcomeIsCommitted,
	"TestProperty3FinishedIsSaidOnlyToAWorkerOfWhichEverythingIsAcknowledged":                              TestProperty3FinishedIsSaidOnlyToAWorkerOfWhichEverythingIsAcknowledged,
	"TestProperty4TheSameSequenceGetsTheSameAnswer":                                                        TestProperty4TheSameSequenceGetsTheSameAnswer,
	"TestProperty4AnOlderSequenceIsRefused":                                                                TestProperty4AnOlderSequenceIsRefused,
	"TestProperty4WhatIsLeasedAndNotListedGoesBackUncharged":                                               TestProperty4WhatIsLeasedAndNotListedGoesBackUncharged,
	"TestProperty5AWorkerThatVanishedLosesItsInputsToTheOthers":                                            TestProperty5AWorkerThatVanishedLosesItsInputsToTheOthers,
	"TestProperty5DeadlinesAreExtendedByOneLeaseAfterAStartAndAfterAnOutageAndASteppedClockExpiresNothing": TestProperty5DeadlinesAreExtendedByOneLeaseAfterAStartAndAfterAnOutageAndASteppedClockExpiresNothing,
	"TestProperty5AHandlerThatOutlivesAnOutageGoesOnUnlessAnotherHasTakenItsInput":                         TestProperty5AHandlerThatOutlivesAnOutageGoesOnUnlessAnotherHasTakenItsInput,
	"TestProperty5AFencedWorkersLateReportIsTakenAndTheInputIsTakenFromWhoeverHasItNow":                    TestProperty5AFencedWorkersLateReportIsTakenAndTheInputIsTakenFromWhoeverHasItNow,
	"TestProperty6APoisonInputFailsAlone":                                                                  TestProperty6APoisonInputFailsAlone,
	"TestProperty6SuspectsAreHandedOutOneAtATime":                                                          TestProperty6SuspectsAreHandedOutOneAtATime,
	"TestProperty6WhoIsCharged":                                                                            TestProperty6WhoIsCharged,
	"TestProperty6ASigtermThatKubernetesDidNotSendIsNoEnd":                                                 TestProperty6ASigtermThatKubernetesDidNotSendIsNoEnd,
	"TestProperty6AWorkerThatDidNotHearItsSigtermIsToldAndGetsNothing":                                     TestProperty6AWorkerThatDidNotHearItsSigtermIsToldAndGetsNothing,
	"TestProperty8ARunIsFinishedWhenTheLastOutcomeIsInAndIdleWorkersAreSentAwayBefore":                     TestProperty8ARunIsFinishedWhenTheLastOutcomeIsInAndIdleWorkersAreSentAwayBefore,
	"TestProperty8ASuspectKeepsWorkersFromBeingSentAway":                                                   TestProperty8ASuspectKeepsWorkersFromBeingSentAway,
	"TestProperty8AWorkerWhosePredecessorMayHaveLeftSomethingIsNotSentAway":                                TestProperty8AWorkerWhosePredecessorMayHaveLeftSomethingIsNotSentAway,
	"TestHandshakeAnEndGivesEachMissingIndexTheOutcomeThatSaysWhyAndChangesNoOther":                        TestHandshakeAnEndGivesEachMissingIndexTheOutcomeThatSaysWhyAndChangesNoOther,
	"TestHandshakeAReportThatComesBeforeItsIndexWasGivenAnOutcomeStillCounts":                              TestHandshakeAReportThatComesBeforeItsIndexWasGivenAnOutcomeStillCounts,
	"TestHandshakeWhenAllOutcomesAreInTheReportItselfIsTheClose":                                           TestHandshakeWhenAllOutcomesAreInTheReportItselfIsTheClose,
	"TestHandshakeAServerThatDiesInTheMiddleOfAClosingFinishesItWhenItStarts":                              TestHandshakeAServerThatDiesInTheMiddleOfAClosingFinishesItWhenItStarts,
	"TestACallThatIsKeptOpenIsAnsweredWhen":                                                                TestACallThatIsKeptOpenIsAnsweredWhen,
	"TestNothingIsHandedToACallerWhoHasGone":                                                               TestNothingIsHandedToACallerWhoHasGone,
	"TestAWorkerWhoseCallIsKeptOpenKeepsItsLease":                                                          TestAWorkerWhoseCallIsKeptOpenKeepsItsLease,
	"TestACallOfAWorkerThatHoldsSomethingIsNeverKeptOpen":                                                  TestACallOfAWorkerThatHoldsSomethingIsNeverKeptOpen,
	"TestManyWorkersAtOnceDoEachInputOnce":                                                                 TestManyWorkersAtOnceDoEachInputOnce,
	"TestALeaseIsKeptByCallsToWhicheverServer":                                                             TestALeaseIsKeptByCallsToWhicheverServer,
	"TestALeaseRunsOutAtWhicheverServerIsLeft":                                                             TestALeaseRunsOutAtWhicheverServerIsLeft,
	"TestALapseMakesSureOfTheBeat":                                                                         TestALapseMakesSureOfTheBeat,
	"TestACallThatIsKeptOpenKeepsItsLeaseAtTheOtherServers":                                                TestACallThatIsKeptOpenKeepsItsLeaseAtTheOtherServers,
	"TestACallThatIsKeptOpenHearsOfWhatAnotherServerDid":                                                   TestACallThatIsKeptOpenHearsOfWhatAnotherServerDid,
	"TestNoTimeOfAWorkerIsCountedTwiceWhenItCallsSeveralServers":                                           TestNoTimeOfAWorkerIsCountedTwiceWhenItCallsSeveralServers,
	"TestServersThatCloseARunAtOnceFillItOnce":                                                             TestServersThatCloseARunAtOnceFillItOnce,
	"TestAnInputThatRaisedWaitsForItsNextAttempt":                                                          TestAnInputThatRaisedWaitsForItsNextAttempt,
	"TestACrashIsTriedAgainAtOnceWhateverTheDelay":                                                         TestACrashIsTriedAgainAtOnceWhateverTheDelay,
	"TestACallThatIsKeptOpenIsAnsweredWhenADelayIsOver":                                                    TestACallThatIsKeptOpenIsAnsweredWhenADelayIsOver,
	"TestACallThatIsKeptOpenLearnsOfADelayThatAnotherBegins":                                               TestACallThatIsKeptOpenLearnsOfADelayThatAnotherBegins,
	"TestAClockThatIsSteppedBackDelaysNothingForLongerThanADelay":                                          TestAClockThatIsSteppedBackDelaysNothingForLongerThanADelay,
	"TestALateOutcomeOfADelayedInputIsItsOutcome":                                                          TestALateOutcomeOfADelayedInputIsItsOutcome,
	"TestWhatIsDelayedWhenTheRunIsSuspendedIsHandedOutAfterwards":                                          TestWhatIsDelayedWhenTheRunIsSuspendedIsHandedOutAfterwards,
	"TestAnErrorThatIsNotToBeRetriedIsFinalAtOnce":                                                         TestAnErrorThatIsNotToBeRetriedIsFinalAtOnce,
	"TestARunEndsWhenMoreInputsFailedThanItBears":                                                          TestARunEndsWhenMoreInputsFailedThanItBears,
	"TestAReportThatTakesAnothersInputAndEndsTheRunEndsTheOthersLeaseToo":                                  TestAReportThatTakesAnothersInputAndEndsTheRunEndsTheOthersLeaseToo,
	"TestTheLastFailureOfARunIsItsOwnEnd":                                                                  TestTheLastFailureOfARunIsItsOwnEnd,
	"TestADeathThatIsOneFailureTooManyEndsTheRun":                                                          TestADeathThatIsOneFailureTooManyEndsTheRun,
	"TestWhatIsBeingPrintedIsKeptUntilTheOutcome":                                                          TestWhatIsBeingPrintedIsKeptUntilTheOutcome,
	"TestARunWhoseInputsAreGoneEndsAndSaysSo":                                                              TestARunWhoseInputsAreGoneEndsAndSaysSo,
	"TestWholeCallsAreHandedOut":                                                                           TestWholeCallsAreHandedOut,
	"TestOfManyInOneCallTheOneThatKilledItIsFound":                                                         TestOfManyInOneCallTheOneThatKilledItIsFound,
	"TestASuspectOfSomebodyElseMeansNothing":                                                               TestASuspectOfSomebodyElseMeansNothing,
	"TestCallsThatAreOnlyAnnouncedKeepNobodyOut":                                                           TestCallsThatAreOnlyAnnouncedKeepNobodyOut,
}

func TestOnPostgreSQL(t *testing.T) { postgrestest.RunOnPostgreSQL(t, onEveryEngine) }

// A test that makes a cluster must be in the table.
func TestEveryTestOfTheExchangeRunsOnEveryEngine(t *testing.T) {
	postgrestest.CheckTable(t, onEveryEngine, "newCluster", "newServer", "newModel")
}

// openedStore is a store of any engine.
type openedStore interface {
	outcomes.Store
	Open(ctx context.Context) error
	Close() error
}

// makeStore makes an empty store of the engine that the test is for.
func (c *cluster) makeStore() {
	c.t.Helper()
	switch {
	case c.url != "":
		return // a benchmark's, on a server that syncs
	case postgrestest.OnPostgreSQL(c.t):
		c.url = postgrestest.URL(c.t)
		return
	}
	empty, err := emptyStore()
	if err == nil {
		err = os.WriteFile(c.path, empty, 0o600)
	}
	if err != nil {
		c.t.Fatalf("making a store: %v", err)
	}
}

func (c *cluster) openStore() openedStore {
	c.t.Helper()
	var store openedStore = outcomes.NewSQLite(c.path)
	if c.url != "" {
		store = outcomes.NewPostgres(func() (string, error) { return c.url, nil })
	}
	if err := store.Open(context.Background()); err != nil {
		c.t.Fatalf("opening the store: %v", err)
	}
	return store
}
