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

// onEveryEngine are the tests that need a store. They run on SQLite as ordinary tests, and on PostgreSQL through this table.
var onEveryEngine = map[string]func(*testing.T){
	"TestInputsOverTheQuotaFailWithoutRetries":                     TestInputsOverTheQuotaFailWithoutRetries,
	"TestOutcomeOverTheQuotaFailsWithoutItsPayload":                TestOutcomeOverTheQuotaFailsWithoutItsPayload,
	"TestLiveOutputOverTheQuotaIsNotStored":                        TestLiveOutputOverTheQuotaIsNotStored,
	"TestLoadOutputOverTheQuotaIsNotStored":                        TestLoadOutputOverTheQuotaIsNotStored,
	"TestLoadOutputIsKeptUntilTheResultsAreDeleted":                TestLoadOutputIsKeptUntilTheResultsAreDeleted,
	"TestLoadOutputIsInTheErrorOfARunWhoseModuleWasNotLoaded":      TestLoadOutputIsInTheErrorOfARunWhoseModuleWasNotLoaded,
	"TestQuotaOfOneNamespaceDoesNotAffectAnother":                  TestQuotaOfOneNamespaceDoesNotAffectAnother,
	"TestDeletionFreesTheQuota":                                    TestDeletionFreesTheQuota,
	"TestConcurrentRunsStoreNoMoreThanTheQuota":                    TestConcurrentRunsStoreNoMoreThanTheQuota,
	"TestQuotaAppliesAcrossRestartsAndServers":                     TestQuotaAppliesAcrossRestartsAndServers,
	"TestCallOverHTTP":                                             TestCallOverHTTP,
	"TestARejectedOutcomeIsNamed":                                  TestARejectedOutcomeIsNamed,
	"TestRejectedCalls":                                            TestRejectedCalls,
	"TestRequestOfMaximumSizeIsAccepted":                           TestRequestOfMaximumSizeIsAccepted,
	"TestAttempts":                                                 TestAttempts,
	"TestOutcomeKeepsItsReportAndWorker":                           TestOutcomeKeepsItsReportAndWorker,
	"TestDeathsWithoutAnOutcomeEndTheRun":                          TestDeathsWithoutAnOutcomeEndTheRun,
	"TestDeathIsCountedOnce":                                       TestDeathIsCountedOnce,
	"TestDeathOfAReleasedWorkerIsNotCounted":                       TestDeathOfAReleasedWorkerIsNotCounted,
	"TestWorkerOfAnEndedPodMayReportButGetsNoInputs":               TestWorkerOfAnEndedPodMayReportButGetsNoInputs,
	"TestLateFirstCallOfADeadPodDoesNotEndItsSuccessor":            TestLateFirstCallOfADeadPodDoesNotEndItsSuccessor,
	"TestSuspensionReturnsInputsWithoutACharge":                    TestSuspensionReturnsInputsWithoutACharge,
	"TestProgressCountsWorkersAndGPUSeconds":                       TestProgressCountsWorkersAndGPUSeconds,
	"TestProgressOfARunWithoutCalls":                               TestProgressOfARunWithoutCalls,
	"TestChangedIsCalledForChangesOnly":                            TestChangedIsCalledForChangesOnly,
	"TestWorkerJoinsOnceWithItsFirstCall":                          TestWorkerJoinsOnceWithItsFirstCall,
	"TestExecutionStartsAtTheFirstCallThatReportsIt":               TestExecutionStartsAtTheFirstCallThatReportsIt,
	"TestOnlyResultsOfClosedRunsAreDeleted":                        TestOnlyResultsOfClosedRunsAreDeleted,
	"TestForgetDeletesARunAndItsLeases":                            TestForgetDeletesARunAndItsLeases,
	"TestInputsBeyondTheAnswerSizeAreReturned":                     TestInputsBeyondTheAnswerSizeAreReturned,
	"TestHandOutIsRepeatedAfterAReadError":                         TestHandOutIsRepeatedAfterAReadError,
	"TestModelEveryIndexEndsWithExactlyOneOutcome":                 TestModelEveryIndexEndsWithExactlyOneOutcome,
	"TestGuarantee1IndexIsLeasedToOneWorkerAndLeasesSurviveACrash": TestGuarantee1IndexIsLeasedToOneWorkerAndLeasesSurviveACrash,
	"TestGuarantee2FirstOutcomeWinsAndRepeatsChangeNothing":        TestGuarantee2FirstOutcomeWinsAndRepeatsChangeNothing,
	"TestGuarantee3InputIsDoneOnlyWhenItsOutcomeIsCommitted":       TestGuarantee3InputIsDoneOnlyWhenItsOutcomeIsCommitted,
	"TestGuarantee3FinishedOnlyWhenEverythingIsAcknowledged":       TestGuarantee3FinishedOnlyWhenEverythingIsAcknowledged,
	"TestGuarantee4SameSequenceGetsTheSameAnswer":                  TestGuarantee4SameSequenceGetsTheSameAnswer,
	"TestGuarantee4OlderSequenceIsRejected":                        TestGuarantee4OlderSequenceIsRejected,
	"TestGuarantee4UnlistedInputsAreReturnedWithoutACharge":        TestGuarantee4UnlistedInputsAreReturnedWithoutACharge,
	"TestGuarantee5InputsOfALostWorkerGoToOthers":                  TestGuarantee5InputsOfALostWorkerGoToOthers,
	"TestGuarantee5DeadlinesAreExtendedAfterAnOutage":              TestGuarantee5DeadlinesAreExtendedAfterAnOutage,
	"TestGuarantee5HandlerContinuesAfterAnOutage":                  TestGuarantee5HandlerContinuesAfterAnOutage,
	"TestGuarantee5LateReportIsAcceptedAndRevokesTheOtherLease":    TestGuarantee5LateReportIsAcceptedAndRevokesTheOtherLease,
	"TestGuarantee6PoisonInputFailsAlone":                          TestGuarantee6PoisonInputFailsAlone,
	"TestGuarantee6SuspectsAreHandedOutOneAtATime":                 TestGuarantee6SuspectsAreHandedOutOneAtATime,
	"TestGuarantee6Charges":                                        TestGuarantee6Charges,
	"TestGuarantee6SigtermFromUserCodeIsIgnored":                   TestGuarantee6SigtermFromUserCodeIsIgnored,
	"TestGuarantee6WorkerOfATerminatingPodIsNotified":              TestGuarantee6WorkerOfATerminatingPodIsNotified,
	"TestGuarantee8RunFinishesWithItsLastOutcome":                  TestGuarantee8RunFinishesWithItsLastOutcome,
	"TestGuarantee8SuspectKeepsWorkersFromBeingReleased":           TestGuarantee8SuspectKeepsWorkersFromBeingReleased,
	"TestGuarantee8SuccessorOfALostWorkerIsNotReleased":            TestGuarantee8SuccessorOfALostWorkerIsNotReleased,
	"TestCloseGivesMissingIndexesTheReason":                        TestCloseGivesMissingIndexesTheReason,
	"TestReportBeforeTheFillBecomesTheOutcome":                     TestReportBeforeTheFillBecomesTheOutcome,
	"TestLastReportClosesTheRun":                                   TestLastReportClosesTheRun,
	"TestRestartedServerFinishesAClosing":                          TestRestartedServerFinishesAClosing,
	"TestOpenCallIsAnsweredWhen":                                   TestOpenCallIsAnsweredWhen,
	"TestDisconnectedCallerGetsNoLease":                            TestDisconnectedCallerGetsNoLease,
	"TestOpenCallKeepsTheLease":                                    TestOpenCallKeepsTheLease,
	"TestCallOfAWorkerWithLeasesIsNotKeptOpen":                     TestCallOfAWorkerWithLeasesIsNotKeptOpen,
	"TestConcurrentWorkersExecuteEachInputOnce":                    TestConcurrentWorkersExecuteEachInputOnce,
	"TestCallsToAnyServerKeepTheLease":                             TestCallsToAnyServerKeepTheLease,
	"TestAnyRemainingServerExpiresALease":                          TestAnyRemainingServerExpiresALease,
	"TestExpiryChecksTheHeartbeatAgain":                            TestExpiryChecksTheHeartbeatAgain,
	"TestOpenCallKeepsTheLeaseAtOtherServers":                      TestOpenCallKeepsTheLeaseAtOtherServers,
	"TestOpenCallSeesChangesOfAnotherServer":                       TestOpenCallSeesChangesOfAnotherServer,
	"TestWorkedTimeIsCountedOnceAcrossServers":                     TestWorkedTimeIsCountedOnceAcrossServers,
	"TestConcurrentClosesFillARunOnce":                             TestConcurrentClosesFillARunOnce,
	"TestRetryIsDelayed":                                           TestRetryIsDelayed,
	"TestCrashIsRetriedWithoutADelay":                              TestCrashIsRetriedWithoutADelay,
	"TestOpenCallIsAnsweredWhenADelayEnds":                         TestOpenCallIsAnsweredWhenADelayEnds,
	"TestOpenCallLearnsOfANewDelay":                                TestOpenCallLearnsOfANewDelay,
	"TestClockStepDoesNotProlongADelay":                            TestClockStepDoesNotProlongADelay,
	"TestLateReportOfADelayedInputIsItsOutcome":                    TestLateReportOfADelayedInputIsItsOutcome,
	"TestDelayedInputSurvivesASuspension":                          TestDelayedInputSurvivesASuspension,
	"TestNonRetryableErrorIsFinal":                                 TestNonRetryableErrorIsFinal,
	"TestRunEndsAfterMaxFailures":                                  TestRunEndsAfterMaxFailures,
	"TestReportThatEndsTheRunEndsTheOtherLease":                    TestReportThatEndsTheRunEndsTheOtherLease,
	"TestLastFailureClosesTheRunWithoutAReason":                    TestLastFailureClosesTheRunWithoutAReason,
	"TestDeathBeyondMaxFailuresEndsTheRun":                         TestDeathBeyondMaxFailuresEndsTheRun,
	"TestLiveOutputIsKeptUntilTheOutcome":                          TestLiveOutputIsKeptUntilTheOutcome,
	"TestRunWithUnavailableInputsEnds":                             TestRunWithUnavailableInputsEnds,
	"TestFullBatchesAreHandedOut":                                  TestFullBatchesAreHandedOut,
	"TestPoisonInputOfABatchIsFound":                               TestPoisonInputOfABatchIsFound,
	"TestSuspectsOfOtherWorkersAreIgnored":                         TestSuspectsOfOtherWorkersAreIgnored,
	"TestSlowBodiesDoNotBlockOtherWorkers":                         TestSlowBodiesDoNotBlockOtherWorkers,
}

func TestOnPostgreSQL(t *testing.T) { postgrestest.RunOnPostgreSQL(t, onEveryEngine) }

// A test that creates a cluster must be in the table.
func TestAllStoreTestsRunOnEveryEngine(t *testing.T) {
	postgrestest.CheckTable(t, onEveryEngine, "newCluster", "newServer", "newModel")
}

// openedStore is a store of any engine.
type openedStore interface {
	outcomes.Store
	Open(ctx context.Context) error
	Close() error
}

// makeStore creates an empty store of the test's engine.
func (c *cluster) makeStore() {
	c.t.Helper()
	switch {
	case c.url != "":
		return // of a benchmark, on a server that syncs
	case postgrestest.OnPostgreSQL(c.t):
		c.url = postgrestest.URL(c.t)
		return
	}
	empty, err := emptyStore()
	if err == nil {
		err = os.WriteFile(c.path, empty, 0o600)
	}
	if err != nil {
		c.t.Fatalf("creating a store: %v", err)
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
